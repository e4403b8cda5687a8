"""The colours of all pictures: those of Okabe and Ito, which colour-blind readers can tell apart."""

TRUTH, PREDICTED, TRANSITIONS, LABELS, LIMIT = "#000000", "#D55E00", "#0072B2", "#E69F00", "#666666"
CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
STACK = (TRANSITIONS, LABELS, "#009E73", "#CC79A7", "#F0E442", "#D55E00")

"""Who comes in: a token in the address once, a cookie afterwards."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ..raters import Rater, Raters
from .bodies import Refused

DAYS = 30  # that a browser keeps the cookie
LONGEST = 200  # characters of a token: nobody hashes more


@dataclass(frozen=True)
class Doors:
    """The raters' door and the owner's, each with a cookie of its own: one browser may hold both.

    `port` is in the cookies' names: browsers hand the cookies of a host to all of its ports, and two runs may be served from one.
    """

    raters: Raters
    port: int

    def cookie(self, is_owner: bool) -> str:
        return f"tandem-{'owner' if is_owner else 'rater'}-{self.port}"

    def enter(self, request: Request) -> Response:
        """From /?token=... to a clean address with a cookie; without a token to the page that the browser has a cookie for."""
        token = request.query_params.get("token")
        if token is None:
            is_owner = self.cookie(True) in request.cookies and self.cookie(False) not in request.cookies
            return RedirectResponse("/owner" if is_owner else "/label", 303)
        rater = self._of(token)
        if rater is None:
            return PlainTextResponse(
                "This address is not, or no longer, a key. Ask whoever sent it for a new one.", 401
            )
        answer = RedirectResponse("/owner" if rater.is_owner else "/label", 303)
        answer.set_cookie(
            self.cookie(rater.is_owner),
            token,
            max_age=DAYS * 24 * 3600,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    def rater(self, request: Request) -> Rater:
        """Who asks, as a rater. Raises Refused 401 for anybody else, the owner too, and for a page of another run.

        A page that says `run` was opened at this address while that run was served there, and may hold answers of it.
        """
        if (run := request.query_params.get("run")) is not None and run != self.raters.queue.meta("run"):
            raise Refused(401, "this page is of a run that is not served here now")
        return self._known(request, is_owner=False)

    def owner(self, request: Request) -> Rater:
        """The owner. Raises Refused 401 for anybody else."""
        return self._known(request, is_owner=True)

    def _known(self, request: Request, is_owner: bool) -> Rater:
        rater = self._of(request.cookies.get(self.cookie(is_owner), ""))
        if rater is None or rater.is_owner != is_owner:
            raise Refused(401, f"this needs the {'owner' if is_owner else 'rater'}'s own link")
        return rater

    def _of(self, token: str) -> Rater | None:
        return self.raters.by_token(token) if 0 < len(token) <= LONGEST else None

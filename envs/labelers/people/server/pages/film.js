// Films: a grid of frames in one picture, or traces, drawn on a canvas frame by frame. A Player moves several of them by one clock.

const BEFORE = 0.38; // opacity of context: it says how the clip came about, and is not what is judged
const SPEEDS = [0.25, 0.5, 1, 2, 4];
const HOLD = 0.6; // seconds that the last frame stands before the loop begins again

export class Film {
  /** film: {frames, context, fps} and either {url, columns, width, height} or {traces: [{name, values}, ...]}. */
  constructor(canvas, film) {
    Object.assign(this, { canvas, film, picture: null });
  }

  async load() {
    const { film } = this;
    if (film.url) {
      this.picture = new Image();
      this.picture.src = film.url;
      await this.picture.decode();
      [this.canvas.width, this.canvas.height] = [film.width, film.height];
    } else {
      [this.canvas.width, this.canvas.height] = [960, Math.max(240, 110 * film.traces.length)];
    }
    this.canvas.dataset.loaded = "yes";
  }

  get frames() { return this.film.frames; }

  /** Draw frame i; a film that is shorter holds its last. */
  draw(i) {
    const frame = Math.min(i, this.frames - 1);
    this.canvas.dataset.frame = frame;
    if (this.picture) this.drawPicture(frame);
    else this.drawTraces(frame);
  }

  drawPicture(frame) {
    const { width, height, columns, context } = this.film;
    const pen = this.canvas.getContext("2d");
    pen.globalAlpha = 1;
    pen.fillStyle = colour("--stage");
    pen.fillRect(0, 0, width, height);
    pen.globalAlpha = frame < context ? BEFORE : 1;
    pen.drawImage(this.picture, (frame % columns) * width, Math.floor(frame / columns) * height, width, height, 0, 0, width, height);
  }

  drawTraces(frame) {
    const pen = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    const channels = this.film.traces;
    const band = height / channels.length;
    pen.globalAlpha = 1;
    pen.fillStyle = colour("--stage");
    pen.fillRect(0, 0, width, height);
    const x = (i) => 20 + ((width - 40) * i) / Math.max(1, this.frames - 1);
    channels.forEach((channel, row) => drawChannel(pen, channel, x, row * band, band, this.film.context));
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("--accent");
    pen.lineWidth = 3;
    line(pen, [[x(frame), 0], [x(frame), height]]);
  }
}

function drawChannel(pen, channel, x, top, band, context) {
  const numbers = channel.values.filter(Number.isFinite);
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const y = (value) => top + band - 14 - (band - 44) * (high > low ? (value - low) / (high - low) : 0.5);
  const points = channel.values.map((value, i) => [x(i), Number.isFinite(value) ? y(value) : NaN]);
  pen.fillStyle = colour("--soft");
  pen.font = "20px system-ui, sans-serif";
  pen.globalAlpha = 1;
  pen.fillText(`${channel.name}   ${short(low)} … ${short(high)}`, 20, top + 24);
  pen.strokeStyle = colour("--ink");
  pen.lineWidth = 2.5;
  pen.globalAlpha = BEFORE;
  line(pen, points.slice(0, context + 1));
  pen.globalAlpha = 1;
  line(pen, points.slice(context));
}

function line(pen, points) {
  pen.beginPath();
  points.forEach(([x, y], i) => (i && !Number.isNaN(points[i - 1][1]) ? pen.lineTo(x, y) : pen.moveTo(x, y))); // a gap where no number was
  pen.stroke();
}

const short = (value) => Number(value.toPrecision(3)).toString();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Player {
  /** told(frame) is called after each frame that is drawn. */
  constructor(films, told = () => {}) {
    Object.assign(this, { films, told, frame: 0, speed: 1, isPlaying: false, isOver: false, clock: 0, then: null });
    this.frames = Math.max(...films.map((film) => film.frames));
    this.fps = films[0].film.fps;
  }

  start() {
    this.show(0);
    this.isPlaying = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    requestAnimationFrame((now) => this.tick(now));
  }

  end() { this.isOver = true; }

  tick(now) {
    if (this.isOver) return;
    if (this.isPlaying && this.then !== null) {
      const whole = this.frames / this.fps + HOLD;
      this.clock = (this.clock + ((now - this.then) / 1000) * this.speed) % whole;
      const frame = Math.min(this.frames - 1, Math.floor(this.clock * this.fps));
      if (frame !== this.frame) this.show(frame);
    }
    this.then = now;
    requestAnimationFrame((later) => this.tick(later));
  }

  show(frame) {
    this.frame = Math.max(0, Math.min(this.frames - 1, frame));
    this.films.forEach((film) => film.draw(this.frame));
    this.told(this.frame);
  }

  seek(frame) {
    this.show(frame);
    this.clock = this.frame / this.fps;
  }

  step(by) {
    this.isPlaying = false;
    this.seek((this.frame + by + this.frames) % this.frames);
  }

  toggle() { this.isPlaying = !this.isPlaying; }

  faster(by) {
    const place = SPEEDS.indexOf(this.speed) + by;
    this.speed = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, place))];
  }
}

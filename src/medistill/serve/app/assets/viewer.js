// The film on a canvas: window and level, zoom, and a heat map over it.

import { byId } from "./element.js";
import { extent, firstWindow, render } from "./window.js";

const CLOSEST = 8;
const STEP = 1.25; // of zoom, a key or button

export class Viewer {
  #film = null;
  #window = { center: 127.5, width: 255 };
  #range = [0, 255];
  #zoom = 1;
  #pan = { x: 0, y: 0 };
  #heat = null;
  #opacity = 0.6;
  #stale = true; // the picture is older than the window
  #due = false;
  #picture = document.createElement("canvas");
  #canvas = byId("canvas");
  #view = byId("view");
  #pointers = new Map();

  constructor() {
    new ResizeObserver(() => this.#draw()).observe(this.#view);
    this.#listenToSliders();
    this.#listenToPointers();
    this.#view.addEventListener("keydown", (event) => this.#key(event));
    byId("reset").addEventListener("click", () => this.#setWindow(firstWindow(this.#film)));
    byId("nearer").addEventListener("click", () => this.#zoomTo(this.#zoom * STEP));
    byId("farther").addEventListener("click", () => this.#zoomTo(this.#zoom / STEP));
    byId("fit").addEventListener("click", () => this.#zoomTo(1));
  }

  open(film) {
    this.#film = film;
    this.#heat = null;
    this.#range = film.bits <= 8 ? [0, 255] : extent(film.pixels);
    this.#picture.width = film.width;
    this.#picture.height = film.height;
    byId("drop").hidden = true;
    this.#view.hidden = byId("view-buttons").hidden = byId("film-tools").hidden = false;
    this.#limitSliders();
    this.#zoomTo(1);
    this.#setWindow(firstWindow(film));
  }

  /** `heat`: {picture: a canvas, peak: [x, y] in 0..1 or null}, or null for no heat map. */
  overlay(heat) {
    this.#heat = heat;
    this.#draw();
  }

  setOpacity(share) {
    this.#opacity = share;
    this.#draw();
  }

  get #span() {
    return Math.max(1, this.#range[1] - this.#range[0]);
  }

  #limitSliders() {
    const [low, high] = this.#range;
    const first = firstWindow(this.#film);
    const level = byId("level"), width = byId("width");
    level.min = Math.floor(Math.min(low, first.center));
    level.max = Math.ceil(Math.max(high, first.center));
    width.min = 1;
    width.max = Math.ceil(Math.max(2 * this.#span, first.width));
    level.step = width.step = this.#span > 1000 ? 5 : 1;
  }

  #setWindow({ center, width }) {
    const level = byId("level");
    this.#window = {
      center: Math.min(Number(level.max), Math.max(Number(level.min), center)),
      width: Math.min(Number(byId("width").max), Math.max(1, width)),
    };
    level.value = this.#window.center;
    byId("width").value = this.#window.width;
    byId("level-now").textContent = Math.round(this.#window.center);
    byId("width-now").textContent = Math.round(this.#window.width);
    this.#stale = true;
    this.#draw();
  }

  #zoomTo(zoom, about = { x: 0, y: 0 }) {
    const next = Math.min(CLOSEST, Math.max(1, zoom));
    const ratio = next / this.#zoom;
    this.#zoom = next;
    this.#moveTo(about.x + (this.#pan.x - about.x) * ratio, about.y + (this.#pan.y - about.y) * ratio);
    this.#view.classList.toggle("zoomed", next > 1);
  }

  #moveTo(x, y) {
    const { width, height } = this.#place(false);
    const slack = (size, room) => Math.max(0, (size - room) / 2);
    const limit = (value, most) => Math.min(most, Math.max(-most, value));
    this.#pan = {
      x: limit(x, slack(width, this.#view.clientWidth)),
      y: limit(y, slack(height, this.#view.clientHeight)),
    };
    this.#draw();
  }

  /** Where the film lies in the view, in CSS pixels. */
  #place(panned = true) {
    const { clientWidth, clientHeight } = this.#view;
    const { width, height } = this.#film ?? { width: 1, height: 1 };
    const scale = this.#zoom * Math.min(clientWidth / width, clientHeight / height);
    const size = { width: width * scale, height: height * scale };
    const pan = panned ? this.#pan : { x: 0, y: 0 };
    return { ...size, x: (clientWidth - size.width) / 2 + pan.x, y: (clientHeight - size.height) / 2 + pan.y };
  }

  #draw() {
    if (this.#due || !this.#film) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#paint();
    });
  }

  #paint() {
    if (this.#stale) {
      const context = this.#picture.getContext("2d");
      const image = context.createImageData(this.#film.width, this.#film.height);
      render(this.#film.pixels, this.#window, image.data);
      context.putImageData(image, 0, 0);
      this.#stale = false;
    }
    const fine = window.devicePixelRatio;
    this.#canvas.width = Math.round(this.#view.clientWidth * fine);
    this.#canvas.height = Math.round(this.#view.clientHeight * fine);
    const context = this.#canvas.getContext("2d");
    context.scale(fine, fine);
    context.imageSmoothingQuality = "high";
    const { x, y, width, height } = this.#place();
    context.drawImage(this.#picture, x, y, width, height);
    if (this.#heat) this.#paintHeat(context, x, y, width, height);
    const { center, width: w } = this.#window;
    byId("view-window").textContent = `W ${Math.round(w)}  L ${Math.round(center)}  ${Math.round(100 * this.#zoom)} %`;
  }

  #paintHeat(context, x, y, width, height) {
    context.globalAlpha = this.#opacity;
    context.drawImage(this.#heat.picture, x, y, width, height);
    context.globalAlpha = 1;
    if (!this.#heat.peak) return;
    const [px, py] = [x + this.#heat.peak[0] * width, y + this.#heat.peak[1] * height];
    for (const [color, line] of [["#000", 4], ["#fff", 2]]) {
      context.strokeStyle = color;
      context.lineWidth = line;
      context.beginPath();
      context.arc(px, py, 9, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  #listenToSliders() {
    const changed = () =>
      this.#setWindow({ center: Number(byId("level").value), width: Number(byId("width").value) });
    byId("level").addEventListener("input", changed);
    byId("width").addEventListener("input", changed);
  }

  #listenToPointers() {
    const view = this.#view;
    view.addEventListener("pointerdown", (event) => {
      this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      view.setPointerCapture(event.pointerId);
    });
    view.addEventListener("pointermove", (event) => this.#dragged(event));
    for (const end of ["pointerup", "pointercancel"]) {
      view.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
    view.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
      event.preventDefault();
      this.#zoomTo(this.#zoom * Math.exp(-event.deltaY / 200), this.#fromCenter(event.clientX, event.clientY));
    }, { passive: false });
  }

  #fromCenter(x, y) {
    const box = this.#view.getBoundingClientRect();
    return { x: x - box.left - box.width / 2, y: y - box.top - box.height / 2 };
  }

  /** One pointer sets the window, or moves the film (shift, or a finger once zoomed); two pinch. */
  #dragged(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    const dx = now.x - before.x, dy = now.y - before.y;
    if (other) {
      const spread = (point) => Math.hypot(point.x - other.x, point.y - other.y);
      const middle = this.#fromCenter((now.x + other.x) / 2, (now.y + other.y) / 2);
      this.#zoomTo(this.#zoom * (spread(now) / Math.max(1, spread(before))), middle);
    } else if (event.shiftKey || (event.pointerType === "touch" && this.#zoom > 1)) {
      this.#moveTo(this.#pan.x + dx, this.#pan.y + dy);
    } else {
      const unit = this.#span / this.#view.clientWidth; // across the view: the whole range
      this.#setWindow({ center: this.#window.center + dy * unit, width: this.#window.width + dx * unit });
    }
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const unit = Math.max(1, this.#span / 64);
    const { center, width } = this.#window;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const others = {
      "+": () => this.#zoomTo(this.#zoom * STEP),
      "=": () => this.#zoomTo(this.#zoom * STEP),
      "-": () => this.#zoomTo(this.#zoom / STEP),
      0: () => this.#zoomTo(1),
      r: () => this.#setWindow(firstWindow(this.#film)),
      R: () => this.#setWindow(firstWindow(this.#film)),
    };
    const [dx, dy] = arrows[event.key] ?? [0, 0];
    if (event.key in arrows && event.shiftKey) this.#moveTo(this.#pan.x - 40 * dx, this.#pan.y - 40 * dy);
    else if (event.key in arrows) this.#setWindow({ center: center + dy * unit, width: width + dx * unit });
    else if (event.key in others) others[event.key]();
    else return;
    event.preventDefault();
  }
}

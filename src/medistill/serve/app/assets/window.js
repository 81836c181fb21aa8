// Window and level: which pixel values become black and which white.

/** Smallest and largest value. */
export function extent(pixels) {
  let low = pixels[0], high = pixels[0];
  for (const value of pixels) {
    if (value < low) low = value;
    else if (value > high) high = value;
  }
  return [low, high];
}

/** The values below which lie these shares of the pixels. */
export function quantiles(pixels, shares) {
  const counts = new Uint32Array(65536);
  for (const value of pixels) counts[value]++;
  return shares.map((share) => {
    let value = 0;
    for (let seen = counts[0]; seen < share * pixels.length; ) seen += counts[++value];
    return value;
  });
}

/** The window a film is first shown in: its own, else all of 8 bits, else all but half a percent at either end. */
export function firstWindow(film) {
  if (film.window) return { center: film.window.center, width: Math.max(1, film.window.width) };
  if (film.bits <= 8) return { center: 127.5, width: 255 };
  const [low, high] = quantiles(film.pixels, [0.005, 0.995]);
  return { center: (low + high) / 2, width: Math.max(1, high - low) };
}

/** Grey of a value: linear from black at center - width / 2 to white at center + width / 2. */
export function grey(value, { center, width }) {
  return 255 * Math.min(1, Math.max(0, (value - center) / width + 0.5));
}

/** Writes the film, seen through the window, into RGBA. */
export function render(pixels, window, rgba) {
  const table = new Uint8ClampedArray(65536);
  for (let value = 0; value < 65536; value++) table[value] = grey(value, window);
  const words = new Uint32Array(rgba.buffer);
  for (let i = 0; i < pixels.length; i++) words[i] = 0xff000000 | (table[pixels[i]] * 0x010101);
}

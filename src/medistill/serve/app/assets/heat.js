// The heat map as a picture: faint where the phrase does not point, opaque where it does.

// Stops of matplotlib's inferno (CC0): even steps in lightness, told apart by color-blind eyes.
const STOPS = [[87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

function color(share) {
  const at = share * (STOPS.length - 1);
  const i = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[i].map((low, channel) => low + (at - i) * (STOPS[i + 1][channel] - low));
}

/** What the viewer draws over the film: a canvas of the map's own size, and the peak, null if nothing is warm. */
export function heatOf(map) {
  const values = Uint8Array.from(atob(map.values), (letter) => letter.charCodeAt(0));
  return { picture: pictureOf(map, values), peak: values.some((value) => value > 0) ? map.peak : null };
}

function pictureOf(map, values) {
  const canvas = document.createElement("canvas");
  canvas.width = map.width;
  canvas.height = map.height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(map.width, map.height);
  values.forEach((value, i) => {
    const share = value / 255;
    picture.data.set([...color(share), 255 * Math.min(1, 1.6 * share * share)], 4 * i);
  });
  context.putImageData(picture, 0, 0);
  return canvas;
}

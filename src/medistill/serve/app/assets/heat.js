// The heat map as a picture: faint where the phrase does not point, opaque where it does.

// Stops of matplotlib's inferno (CC0): even steps in lightness, told apart by color-blind eyes.
const STOPS = [[87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

function color(share) {
  const at = share * (STOPS.length - 1);
  const i = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[i].map((low, channel) => low + (at - i) * (STOPS[i + 1][channel] - low));
}

/** The values of the server's answer, 0..255, row by row. */
export function heatValues(map) {
  return Uint8Array.from(atob(map.values), (letter) => letter.charCodeAt(0));
}

/** A canvas of the map's own size; the viewer stretches it over the film. */
export function heatPicture(map) {
  const canvas = document.createElement("canvas");
  canvas.width = map.width;
  canvas.height = map.height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(map.width, map.height);
  heatValues(map).forEach((value, i) => {
    const share = value / 255;
    picture.data.set([...color(share), 255 * Math.min(1, 1.6 * share * share)], 4 * i);
  });
  context.putImageData(picture, 0, 0);
  return canvas;
}

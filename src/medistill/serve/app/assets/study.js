// The radiograph under study: a file of the reader's, or a past case.

import { ask, askJson } from "./ask.js";

async function upload(file, signal) {
  const answer = await ask("v1/images", { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file }, signal);
  return answer.json();
}

/** A film: 16-bit pixels row by row, their size, bits, first window and a line about them. */
async function filmOfUpload(told, signal) {
  const answer = await ask(`v1/images/${told.image}/pixels`, {}, signal);
  const [width, height] = ["X-Width", "X-Height"].map((name) => Number(answer.headers.get(name)));
  const bytes = new DataView(await answer.arrayBuffer());
  const pixels = new Uint16Array(width * height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = bytes.getUint16(2 * i, true);
  const facts = `${told.dicom ? "DICOM" : "Picture"} · ${told.width} × ${told.height} · ${told.bits} bit`;
  return { pixels, width, height, bits: told.bits, window: told.window, facts };
}

/** The picture of a case, as a blob; an <img> cannot send the token itself. */
export async function casePicture(id, signal) {
  return (await ask(`v1/cases/${id}/image`, {}, signal)).blob();
}

async function filmOfCase(id, signal) {
  const bitmap = await createImageBitmap(await casePicture(id, signal));
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const pixels = Uint16Array.from({ length: width * height }, (_, i) => rgba[4 * i]);
  return { pixels, width, height, bits: 8, window: null, facts: `Past case · ${width} × ${height}` };
}

export class Study {
  static async ofFile(file, signal) {
    const told = await upload(file, signal);
    return new Study({ image: told.image }, await filmOfUpload(told, signal), file);
  }

  static async ofCase(id, signal) {
    return new Study({ case: id }, await filmOfCase(id, signal), null);
  }

  #file;

  constructor(reference, film, file) {
    this.reference = reference;
    this.film = film;
    this.#file = file;
  }

  /** A question about this image; uploads it again if the server has let it go meanwhile. */
  async ask(path, body, signal) {
    try {
      return await askJson(path, { ...body, of: this.reference }, signal);
    } catch (error) {
      if (error.status !== 404 || !this.#file) throw error;
      this.reference = { image: (await upload(this.#file, signal)).image };
      return askJson(path, { ...body, of: this.reference }, signal);
    }
  }
}

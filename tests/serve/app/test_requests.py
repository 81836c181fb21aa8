import base64
import io

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

from medistill.data.image import decode_image, encode_image
from medistill.model.saved import load
from medistill.serve.app.door.refusal import RefusedError
from tests.dicoms import dicom
from tests.serve.app.conftest import SMALL, noise_png, serving
from tests.serve.conftest import film


@pytest.fixture(scope="module")
def model(german):
    return load(german.run)


def uploaded(client, data) -> dict:
    answer = client.post("/v1/images", content=data, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(client, path, **asked) -> dict:
    answer = client.post(path, json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def case_of(client, **asked) -> str:
    return ask(client, "/v1/search", text="Pleuraerguss.", k=1, **asked)["hits"][0]["case"]


def test_about_tells_what_is_served(client, model):
    told = client.get("/v1/about", headers={"Authorization": ""}).json()
    assert told["token_required"] is True
    assert told["phantoms"] is False
    assert told["examples"] == []
    assert told["model"]["dim"] == model.dim
    assert told["index"]["images"] == 160
    assert told["index"]["findings"] == told["suggestions"] == ["effusion", "nodule"]
    assert told["limits"] == {"bytes": SMALL.upload_bytes, "pixels": SMALL.pixels, "findings": 32}
    assert "Not a medical device" in told["notice"]


def test_an_image_is_embedded_as_the_model_embeds_it(client, model, png):
    sent = client.post("/v1/embed/image", content=png, headers={"Content-Type": "image/png"}).json()
    expected = model.encode_images([decode_image(png)])[0].numpy()
    np.testing.assert_allclose(sent["embedding"], expected, atol=1e-5)
    assert len(sent["model_sha256"]) == 64


def test_texts_are_embedded_in_their_order(client, model):
    texts = ["Rundherd.", "Pleuraerguss.", "Rundherd."]
    rows = np.array(ask(client, "/v1/embed/text", texts=texts)["embeddings"])
    np.testing.assert_allclose(rows, model.encode_texts(texts).numpy(), atol=1e-5)


def test_pixels_of_an_8_bit_image_are_its_own(client):
    data = noise_png(1, side=20)
    told = uploaded(client, data)
    pixels = client.get(f"/v1/images/{told['image']}/pixels")
    assert (pixels.headers["X-Width"], pixels.headers["X-Height"]) == ("20", "20")
    assert (told["bits"], told["dicom"], told["window"]) == (8, False, None)
    np.testing.assert_array_equal(
        np.frombuffer(pixels.content, "<u2").reshape(20, 20), np.array(Image.open(io.BytesIO(data)))
    )


def test_a_dicom_image_comes_with_its_levels_and_window(client):
    levels = np.arange(24, dtype=np.uint16).reshape(4, 6) * 100
    data = dicom(levels, BitsStored=12, WindowCenter=1000, WindowWidth=400)
    told = uploaded(client, data)
    assert (told["width"], told["height"], told["bits"], told["dicom"]) == (6, 4, 12, True)
    assert told["window"] == {"center": 1000.0, "width": 400.0}
    pixels = client.get(f"/v1/images/{told['image']}/pixels").content
    np.testing.assert_array_equal(np.frombuffer(pixels, "<u2").reshape(4, 6), levels)


def test_a_large_image_is_shown_small_and_its_size_told(client):
    told = uploaded(client, encode_image(np.zeros((1200, 1500), np.uint8)))
    headers = client.get(f"/v1/images/{told['image']}/pixels").headers
    assert (told["width"], told["height"]) == (1500, 1200)
    assert (headers["X-Width"], headers["X-Height"]) == ("1024", "819")


def test_a_case_finds_itself_and_its_picture_is_the_corpus_own(client):
    case = case_of(client)
    hit = ask(client, "/v1/search", of={"case": case}, k=3)["hits"][0]
    assert hit["case"] == case
    assert hit["score"] == pytest.approx(1, abs=1e-5)
    assert hit["labels"]["effusion"] in (0, 1)
    picture = client.get(f"/v1/cases/{case}/image")
    assert picture.headers["content-type"] == "image/png"
    assert decode_image(picture.content).shape == (32, 32)


def test_a_hit_says_neither_patient_nor_study_nor_row(client):
    hit = ask(client, "/v1/search", text="Pleuraerguss.", k=1)["hits"][0]
    case = ["case", "score", "view", "sex", "age", "date", "source", "labels", "text", "marks"]
    assert list(hit) == case


def test_image_and_text_are_weighed(client, png):
    of = {"image": uploaded(client, png)["image"]}
    whole, none = (
        [hit["case"] for hit in ask(client, "/v1/search", of=of, text="Rundherd.", weight=w)["hits"]]
        for w in (1.0, 0.0)
    )
    assert whole == [hit["case"] for hit in ask(client, "/v1/search", of=of)["hits"]]
    assert none == [hit["case"] for hit in ask(client, "/v1/search", text="Rundherd.")["hits"]]
    assert whole != none


def test_filters_hold(client):
    hits = ask(client, "/v1/search", text="Rundherd.", k=20, filters={"labels": ["nodule"]})["hits"]
    assert hits
    assert all(hit["labels"]["nodule"] == 1 for hit in hits)


def test_the_sentence_that_says_it_is_marked(client):
    hits = ask(client, "/v1/search", text="Pleuraerguss.", k=10)["hits"]
    marked = [hit["text"][start:end] for hit in hits for start, end in hit["marks"]]
    assert marked
    assert all("Pleuraerguss" in sentence for sentence in marked)


def test_a_score_rests_on_labeled_studies(client, server, model, png):
    of = {"image": uploaded(client, png)["image"]}
    scores = ask(client, "/v1/zero-shot", of=of, findings=["EFFUSION ", "Rundherd"])["scores"]
    known = server.service.loaded.known.classifier
    row = model.encode_images([decode_image(png)]).numpy()
    assert scores[0]["probability"] == pytest.approx(known.probabilities(row)[0, 0], abs=1e-5)
    assert scores[0]["calibrated"] is True
    assert scores[0]["low"] <= scores[0]["probability"] <= scores[0]["high"]
    assert scores[0]["basis"].startswith("Of the 30 labeled validation studies")
    texts = model.encode_texts(["Rundherd", "There is Rundherd.", "No Rundherd.", "There is no Rundherd."])
    yes, no = (side / np.linalg.norm(side) for side in (texts[:2].mean(0).numpy(), texts[2:].mean(0).numpy()))
    assert scores[1]["probability"] == pytest.approx(
        float(expit(model.scale * row[0] @ (yes - no))), abs=1e-4
    )
    assert (scores[1]["calibrated"], scores[1]["low"], scores[1]["said"]) == (False, None, "cannot tell")
    assert "Not calibrated" in scores[1]["basis"]


def test_a_heat_map_has_its_peak_where_it_says(client):
    of = {"image": uploaded(client, encode_image(film(1, 0, 7)))["image"]}
    told = ask(client, "/v1/heatmap", of=of, text="effusion")
    heat = np.frombuffer(base64.b64decode(told["values"]), np.uint8).reshape(told["height"], told["width"])
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert heat.max() in (0, 255)
    assert told["peak"] == pytest.approx([(column + 0.5) / 32, (row + 0.5) / 32]) or heat.max() == 0
    assert told["said"].startswith(("What speaks most", "No place"))


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"text": " "},
        {"text": "a", "k": 0},
        {"text": "a", "k": "3"},
        {"text": "a", "weight": 2},
        {"text": "a", "unknown": 1},
        {"text": "a", "filters": {"dates": ["2020-02-30", None]}},
        {"text": "a", "filters": {"ages": [1]}},
        {"of": {"case": "0" * 16, "image": "0" * 16}},
        {"of": {}},
    ],
)
def test_a_search_of_another_form_is_refused(client, asked):
    answer = client.post("/v1/search", json=asked)
    assert answer.status_code == 422
    assert set(answer.json()) == {"error"}


def test_while_the_model_is_loaded_requests_are_put_off(loader):
    import threading

    go_on = threading.Event()

    def load_late():
        assert go_on.wait(20)
        return loader()()

    import asyncio

    import httpx

    from medistill.serve.app.app import create_app
    from medistill.serve.app.door.guard import Access, allowed_hosts

    async def check():
        app = create_app(load_late, Access(allowed_hosts("127.0.0.1", ()), None), SMALL, phantoms=True)
        async with app.app.router.lifespan_context(app.app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                early = [await client.get("/healthz"), await client.get("/readyz")]
                early.append(await client.post("/v1/search", json={"text": "a"}))
                go_on.set()
                for _ in range(500):
                    if (late := await client.get("/readyz")).status_code == 200:
                        break
                    await asyncio.sleep(0.02)
                return early, late

    early, late = asyncio.run(check())
    assert [answer.status_code for answer in early] == [200, 503, 503]
    assert int(early[1].headers["Retry-After"]) > 0
    assert late.json() == {"status": "ok"}


def test_a_model_that_cannot_be_loaded_is_told(loader):
    def fail():
        raise RefusedError(1, "why")

    with serving(fail) as running:
        assert isinstance(running.failed, RefusedError)
        assert running.client.get("/readyz").status_code == 503

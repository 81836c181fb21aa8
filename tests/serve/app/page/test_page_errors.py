"""What the page does when something goes wrong, or when somebody means it ill."""

import json

import pytest

from tests.serve.app.page.browser import TOKEN, ask_for, choose, film_pixels, phantom_png

pytestmark = pytest.mark.slow


def test_the_token_leaves_the_address_bar_and_is_sent_in_the_header_alone(visit):
    page = visit()
    assert TOKEN not in page.url
    assert TOKEN not in page.content()
    with page.expect_request("**/v1/images") as asked:
        choose(page, phantom_png())
    assert asked.value.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in asked.value.url
    page.reload()
    page.locator("#example-list img").first.wait_for()  # the tab still knows it


def test_without_the_token_the_page_asks_for_the_link(visit):
    page = visit(fragment="")
    assert page.get_by_role("heading", name="This page needs its link").is_visible()
    assert not page.locator("#film-title").is_visible()
    assert page.evaluate("() => document.activeElement.id") == "token"
    page.get_by_label("Link or token").fill(f"http://127.0.0.1/#token={TOKEN}")
    page.keyboard.press("Enter")
    page.locator("#example-list img").first.wait_for()


def test_a_wrong_token_is_said_to_be_wrong(visit):
    page = visit(fragment="#token=wrong-wrong-wrong-wrong", expect_faults=True)
    page.get_by_text("The token was not accepted.").wait_for()
    assert "wrong-wrong" not in page.url
    page.get_by_label("Link or token").fill(TOKEN)
    page.get_by_role("button", name="Use it").click()
    page.locator("#example-list img").first.wait_for()


def test_a_file_that_is_no_image_is_refused_in_words_and_the_film_stays(visit):
    page = visit(expect_faults=True)
    choose(page, phantom_png())
    before = film_pixels(page)
    page.set_input_files("#file", {"name": "notes.png", "mimeType": "image/png", "buffer": b"no image"})
    alert = page.get_by_role("alert")
    alert.get_by_text("Not a PNG, JPEG or DICOM image.").wait_for()
    assert (film_pixels(page) == before).all()
    ask_for(page, "edema")  # the page goes on
    assert alert.get_by_text("Not a PNG").is_visible()
    choose(page, phantom_png())
    assert alert.inner_text() == ""


def test_a_typed_finding_is_text_and_never_markup(visit):
    page = visit()
    choose(page, phantom_png())
    typed = "<img src=x onerror=document.title='broken'> <b>edema</b>"
    row = ask_for(page, typed)
    assert row.locator(".chip").inner_text().startswith(typed)
    assert page.locator("#scores img, #scores .chip b").count() == 0
    assert page.title() == "medistill"


def test_a_busy_server_is_asked_again_after_the_time_it_names(visit):
    page = visit(expect_faults=True)
    choose(page, phantom_png())
    refused = []

    def busy_once(route):
        if refused:
            route.fallback()
            return
        refused.append(route.request.url)
        error = json.dumps({"error": "the queue is full"})
        route.fulfill(status=503, headers={"Retry-After": "1"}, content_type="application/json", body=error)

    page.route("**/v1/zero-shot", busy_once)
    page.fill("#finding", "edema")
    page.press("#finding", "Enter")
    page.get_by_text("The server is busy. Trying again in").wait_for()
    page.locator("#scores .word").wait_for()
    assert len(refused) == 1
    assert not page.get_by_text("The server is busy.").is_visible()
    assert page.get_by_role("alert").inner_text() == ""


def test_a_server_that_is_gone_is_told_and_can_be_asked_again(visit):
    page = visit(expect_faults=True)
    choose(page, phantom_png())
    page.route("**/v1/zero-shot", lambda route: route.abort())
    page.fill("#finding", "edema")
    page.press("#finding", "Enter")
    page.get_by_role("alert").get_by_text("The server does not answer.").wait_for()
    page.unroute("**/v1/zero-shot")
    page.get_by_role("button", name="Try again").click()
    page.locator("#scores .word").wait_for()


def test_an_old_answer_never_replaces_a_newer_one(visit):
    page = visit()
    choose(page, phantom_png())
    held = []

    def hold_first(route):
        if held:
            route.fallback()
        else:
            held.append(route)

    page.route("**/v1/zero-shot", hold_first)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/v1/zero-shot")):
        page.fill("#finding", "edema")
        page.press("#finding", "Enter")
        page.fill("#finding", "mass")
        page.press("#finding", "Enter")
    page.locator("#scores .word").nth(1).wait_for()  # and the older question was taken back
    assert page.locator("#scores > li .word").count() == 2
    assert len(held) == 1


def test_an_image_that_the_server_has_let_go_is_sent_again(visit):
    page = visit(expect_faults=True)
    choose(page, phantom_png())

    forgotten = []

    def forget(route):
        if forgotten:
            route.fallback()
            return
        forgotten.append(route.request.post_data_json)
        other = {**forgotten[0], "of": {"image": "0123456789abcdef0123"}}
        route.continue_(post_data=json.dumps(other))

    page.route("**/v1/zero-shot", forget)
    with page.expect_request("**/v1/images"):
        ask_for(page, "edema")
    assert page.get_by_role("alert").inner_text() == ""


def test_marks_count_characters_as_the_server_does(visit):
    page = visit()
    run = "async ([text, spans]) => (await import('/assets/marks.js')).pieces(text, spans)"
    for text, spans, expected in (
        ("No edema. Heart large.", [[10, 22]], [["No edema. ", False], ["Heart large.", True]]),
        ("\U0001fac1 ok. Bad.", [[6, 10]], [["\U0001fac1 ok. ", False], ["Bad.", True]]),
        ("abc", [[1, 2], [0, 2]], [["ab", True], ["c", False]]),
        ("abc", [], [["abc", False]]),
    ):
        assert page.evaluate(run, [text, spans]) == expected

import torch

from medistill.engine.keys import KeyQueue, Keys


def keys(*studies: int) -> Keys:
    ids = torch.tensor(studies)
    return Keys(ids[:, None].float(), ids[:, None].float(), ids, ids)


def studies(queue: KeyQueue) -> list[int]:
    return [] if queue.keys is None else queue.keys.study.tolist()


def test_a_queue_keeps_the_newest():
    queue = KeyQueue(size=3, max_age=10)
    queue.push(keys(1, 2))
    queue.push(keys(3, 4))
    assert studies(queue) == [2, 3, 4]


def test_a_queue_drops_keys_of_windows_too_old():
    queue = KeyQueue(size=10, max_age=2)
    for study in (1, 2, 3):
        queue.push(keys(study))
    assert studies(queue) == [2, 3]


def test_a_queue_is_restored_with_its_ages():
    queue, restored = KeyQueue(size=10, max_age=2), KeyQueue(size=10, max_age=2)
    queue.push(keys(1))
    queue.push(keys(2))
    restored.load_state_dict(queue.state_dict(), torch.device("cpu"))
    restored.push(keys(3))
    assert studies(restored) == [2, 3]


def test_an_empty_queue_is_restored_as_empty():
    restored = KeyQueue(size=10, max_age=2)
    restored.load_state_dict(KeyQueue(size=10, max_age=2).state_dict(), torch.device("cpu"))
    assert restored.keys is None

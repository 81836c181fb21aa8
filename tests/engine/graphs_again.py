"""What stands in for a card's graphs: a captured function is called again, on the same tensors."""

import torch


class Again:
    """Captures nothing; notes how often it was warmed up, asked to capture, and replayed."""

    def __init__(self):
        self.warmed = self.captured = self.replayed = 0

    def warm(self, function):
        self.warmed += 1
        function()

    def capture(self, function):
        self.captured += 1
        function()

        def replay():
            self.replayed += 1
            function()

        return replay


class TakenOver(Again):
    """A graph's own gradient as `.grad`: right after the first micro-batch, overwritten by the second."""

    def capture(self, function):
        function()

        def replay():
            if function.__name__ == "_backward":
                torch._foreach_zero_(function.__self__._gradients)
            function()

        return replay


class Stale(Again):
    """Replays that never see their new inputs."""

    def capture(self, function):
        function()
        seen = [x.clone() for x in function.__self__._inputs]

        def replay():
            for place, old in zip(function.__self__._inputs, seen, strict=True):
                place.copy_(old)
            function()

        return replay


class Noisy(Again):
    """Gradients that are no numbers."""

    def capture(self, function):
        again = super().capture(function)

        def replay():
            again()
            if function.__name__ == "_backward":
                function.__self__._gradients[0].fill_(torch.nan)

        return replay


class Refused(Again):
    """What torch says of an operation that no graph can hold."""

    def capture(self, function):
        raise RuntimeError(
            "operation not permitted when stream is capturing\nCUDA kernel errors might be ..."
        )


class ShortOnce(Again):
    """Out of memory at its first capture, that of the image tower."""

    asked = 0

    def capture(self, function):
        ShortOnce.asked += 1
        if ShortOnce.asked == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().capture(function)

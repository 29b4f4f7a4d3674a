"""A model of whose weights, gradients and optimizer state each process of a team keeps a share only (FSDP2).

A layer's weights are brought together when it is computed, and its gradients are summed where their shares are kept.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from fettle.data.packing import Batch
from fettle.models.decoder import Decoder
from fettle.tuning.objectives import Loss


class Sharded(nn.Module):
    """A decoder in shares, and the loss that is taken of it.

    Every process computes equally many batches with gradients, and equally many without: each is an exchange.
    """

    def __init__(self, decoder: Decoder, loss: Callable[[Batch], Loss], *, is_whole_in_step: bool) -> None:
        """Replace the decoder's parameters by this process's shares of them; `loss` computes with it.

        With `is_whole_in_step` what a batch's forward pass has brought together stays so until its backward pass is
        done: fewer exchanges, for the memory of whole weights (ZeRO-2, instead of ZeRO-3).
        """
        super().__init__()
        self.decoder, self._loss, self._found = decoder, loss, list[Loss]()
        for module in (*decoder.model.layers, self):
            _sum(fully_shard(module, reshard_after_forward=not is_whole_in_step))

    def forward(self, batch: Batch) -> Tensor:
        """The loss's terms."""
        self._found.append(self._loss(batch))
        # A copy: behind a view, FSDP would not see the backward pass coming.
        return self._found[0].terms.clone()

    def loss(self, batch: Batch) -> Loss:
        """The loss of a batch, with its gradients behind it."""
        self._found.clear()
        terms, found = self(batch), self._found.pop()
        return Loss(terms, found.num_correct, found.num_tokens, found.num_ranked_first, found.num_ranked)

    def bring_together(self) -> None:
        """Have the decoder's whole weights in every process, to be written; nothing is trained any more then."""
        for module in self.modules():
            if isinstance(module, FSDPModule):
                module.unshard()


def _sum(module: FSDPModule) -> None:
    """Gradients are parts of the whole step's mean already, so they are added up and not averaged."""
    module.set_gradient_divide_factor(1.0)
    # Gloo has no sum that scales its parts.
    module.set_force_sum_reduction_for_comms(True)

"""Virtual tokens as PEFT writes them: one tensor, prompt_embeddings, with a row for each of them.

What they started as is not written: it changes nothing any more.
Shapes: P virtual tokens, L layers, K key/value heads, D head dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fettle.adapters.adapter import Adapter, Params
from fettle.adapters.kinds import KINDS
from fettle.errors import UnsupportedModel

_TENSOR = "prompt_embeddings"


@dataclass(frozen=True)
class VirtualFormat:
    """How a kind of virtual tokens is written.

    Attributes:
        peft_type: its name in PEFT.
        to_rows: parameters -> the tensor, (P, ...), and the fields of adapter_config.json that its rows' form needs.
        from_rows: the tensor and those fields -> parameters.
        refused: fields that change what is computed and are not supported, with the value that is fine.
    """

    peft_type: str
    to_rows: Callable[[Params], tuple[Tensor, dict[str, Any]]]
    from_rows: Callable[[Tensor, dict[str, Any]], Params]
    refused: dict[str, Any]

    def written(self, adapter: Adapter) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The fields of adapter_config.json, and the tensors."""
        rows, form = self.to_rows({name: value.detach() for name, value in adapter.virtual.items()})
        fields = {"num_virtual_tokens": adapter.num_virtual_tokens, "num_transformer_submodules": 1, **form}
        return fields, {_TENSOR: rows.contiguous()}

    def read(self, kind: str, fields: dict[str, Any], tensors: dict[str, Tensor], path: Path) -> Adapter:
        """The adapter; `path` is that of the tensors, for errors.

        Raises:
            InvalidInput: the fields are no settings of the kind.
            UnsupportedModel: the tensors are not those that the fields tell of.
        """
        config = KINDS[kind].config.checked({"num_virtual_tokens": fields.get("num_virtual_tokens")})
        found = {name: tuple(value.shape) for name, value in tensors.items()}
        rows = tensors.get(_TENSOR)
        if rows is None or len(tensors) > 1 or rows.ndim != 2 or len(rows) != config.num_virtual_tokens:
            wanted = f"{_TENSOR} with {config.num_virtual_tokens} rows and nothing else"
            raise UnsupportedModel(f"{path} holds tensors of shapes {found}, expected {wanted}")
        try:
            return Adapter(kind, config, {}, self.from_rows(rows, fields))
        except (TypeError, RuntimeError, KeyError, ArithmeticError) as error:
            form = {name: fields.get(name) for name in ("num_layers", "num_attention_heads", "token_dim")}
            raise UnsupportedModel(f"{path} holds tensors of shapes {found}, which do not fit {form}") from error


def _prompt_rows(params: Params) -> tuple[Tensor, dict[str, Any]]:
    rows = params["embeddings"]
    return rows, {"token_dim": rows.shape[1], "prompt_tuning_init": "RANDOM"}


def _prefix_rows(params: Params) -> tuple[Tensor, dict[str, Any]]:
    """Each row has, for every layer, the key's heads and then the value's."""
    both_PL2KD = torch.stack([params["keys"], params["values"]]).permute(2, 1, 0, 3, 4)
    _, layers, _, heads, width = both_PL2KD.shape
    fields = {"num_layers": layers, "num_attention_heads": heads, "token_dim": heads * width}
    # A network that made the rows is not needed any more; in PEFT's own files it is gone too.
    return both_PL2KD.flatten(1), fields | {"prefix_projection": False}


def _prefix_params(rows: Tensor, fields: dict[str, Any]) -> Params:
    layers, heads = fields["num_layers"], fields["num_attention_heads"]
    keys, values = rows.view(len(rows), layers, 2, heads, fields["token_dim"] // heads).permute(2, 1, 0, 3, 4)
    return {"keys": keys.contiguous(), "values": values.contiguous()}


_REFUSED = {"modules_to_save": None, "num_transformer_submodules": 1}
PROMPT = VirtualFormat("PROMPT_TUNING", _prompt_rows, lambda rows, _: {"embeddings": rows}, _REFUSED)
PREFIX = VirtualFormat("PREFIX_TUNING", _prefix_rows, _prefix_params, _REFUSED)

"""The Llama network as the pocket models train it: fused matrices, and a head for few positions.

It computes exactly what `transformers.LlamaForCausalLM` computes (a test holds the two together)
and exports its weights under that class's names; it exists because gathering the supervised
positions before the vocabulary projection halves the cost of a step.

Legend: `B` rows, `T` positions, `d` model width, `h` heads, `e` head width, `f` MLP width,
`V` vocabulary, `s` supervised positions of a batch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LLAMA_LAYER = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
    "input_layernorm",
    "post_attention_layernorm",
)

HEAD_CHUNK = 256  # supervised positions whose logits are held at once


def has_bfloat16(device: torch.device) -> bool:
    """Whether products in bf16 are fast there: a CPU without AVX-512 takes 18 times as long."""
    return device.type != "cpu" or "AVX512" in torch.backends.cpu.get_cpu_capability()


@dataclass(frozen=True)
class Shape:
    """The architecture of one pocket model."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    context: int = 1024
    rope_theta: float = 10000.0

    def as_dict(self) -> dict[str, float]:
        """Returns the fields as a plain dictionary, for checkpoints and cards."""
        return asdict(self)


def rope_tables(head_width: int, positions: int, theta: float) -> tuple[Tensor, Tensor]:
    """Returns cosine and sine, each `(positions, e)` float32, in Llama's half-split layout."""
    inverse = 1.0 / theta ** (torch.arange(0, head_width, 2).float() / head_width)
    angles = torch.outer(torch.arange(positions).float(), inverse)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates queries or keys `(B, h, T, e)` by their positions; RoPE, arXiv 2104.09864."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


class HeadLoss(torch.autograd.Function):
    """Cross-entropy through the tied head, in chunks that stay in the cache.

    The gradients are computed along with the loss, so the logits `(s, V)` never exist at once:
    on a CPU that halves the time of the head.
    """

    @staticmethod
    def forward(  # noqa: D102 - The class says it.
        ctx: Any, states: Tensor, head: Tensor, targets: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        matrix = head.to(states.dtype)
        state_gradient = torch.empty_like(states)
        head_gradient = torch.zeros_like(head)
        losses = torch.empty(len(targets), dtype=torch.float32, device=states.device)
        for start in range(0, len(targets), HEAD_CHUNK):
            part = slice(start, start + HEAD_CHUNK)
            x, goal = states[part], targets[part].unsqueeze(1)
            logits = (x @ matrix.T).float()  # (chunk, V)
            total = logits.logsumexp(-1, keepdim=True)
            losses[part] = (total - logits.gather(1, goal)).squeeze(1)
            slope = logits.sub_(total).exp_()
            slope.scatter_add_(1, goal, torch.full_like(goal, -1, dtype=slope.dtype))
            slope = slope.mul_(weights[part].unsqueeze(1)).to(states.dtype)
            state_gradient[part] = slope @ matrix
            head_gradient += (slope.T @ x).float()
        ctx.save_for_backward(state_gradient, head_gradient)
        ctx.mark_non_differentiable(losses)
        return (losses * weights).sum(), losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: D102
        state_gradient, head_gradient = ctx.saved_tensors
        scale = gradients[0]
        return state_gradient * scale.to(state_gradient.dtype), head_gradient * scale, None, None


class Norm(nn.Module):
    """RMS normalisation in float32, as Llama has it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalises `(..., d)`."""
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)
        normal: Tensor = self.weight * (x.float() * scale).to(x.dtype)
        return normal


class Block(nn.Module):
    """One transformer block with the q, k, v and the gate, up matrices fused."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        width, wide = shape.width, shape.mlp_width
        self.norm_attention = Norm(width)
        self.norm_mlp = Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * wide, bias=False)
        self.down = nn.Linear(wide, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Maps `(B, T, d)` to `(B, T, d)` under a causal mask."""
        rows, length, width = x.shape
        parts = self.qkv(self.norm_attention(x)).view(rows, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (B, h, T, e)
        mixed = functional.scaled_dot_product_attention(
            rotate(query, cos, sin), rotate(key, cos, sin), value, is_causal=True
        )
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, width))
        gate, up = self.gate_up(self.norm_mlp(x)).chunk(2, dim=-1)
        change: Tensor = self.down(functional.silu(gate) * up)
        return x + change


class Network(nn.Module):
    """A causal language model with tied embeddings."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks: Any = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width)
        cos, sin = rope_tables(shape.width // shape.heads, shape.context, shape.rope_theta)
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise(torch.Generator().manual_seed(seed))

    def _initialise(self, generator: torch.Generator) -> None:
        """Draws small normal weights; residual outputs are scaled down by depth."""
        residual = 0.02 / (2 * self.shape.layers) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = residual if name.endswith(("out.weight", "down.weight")) else 0.02
                with torch.no_grad():
                    parameter.normal_(0.0, scale, generator=generator)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Returns the last hidden states `(B, T, d)` of `tokens (B, T)` int64."""
        length = tokens.shape[1]
        x: Tensor = self.embedding(tokens)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)
        for block in self.blocks:
            x = block(x, cos, sin)
        states: Tensor = self.norm(x)
        return states

    def compile_hidden(self) -> None:
        """Compiles the forward pass for any shape; some tens of seconds once, a tenth faster."""
        self.hidden = torch.compile(self.hidden, dynamic=True)  # type: ignore[method-assign]

    def loss(self, tokens: Tensor, where: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the weighted loss sum and the unweighted losses `(s,)` in nats.

        `tokens` is `(B, T)`; `where (s,)` holds flat indices into `B * T` of the supervised
        targets (never a row's first position); `weights (s,)` their weights.
        """
        states = self.hidden(tokens).flatten(0, 1)[where - 1]
        loss: tuple[Tensor, Tensor] = HeadLoss.apply(  # type: ignore[no-untyped-call]
            states, self.embedding.weight, tokens.flatten()[where], weights
        )
        return loss

    def llama_state(self) -> dict[str, Tensor]:
        """Returns the weights under the names of `LlamaForCausalLM`."""
        state = {"model.embed_tokens.weight": self.embedding.weight}
        for index, block in enumerate(self.blocks):
            prefix = f"model.layers.{index}."
            query, key, value = block.qkv.weight.chunk(3)
            gate, up = block.gate_up.weight.chunk(2)
            state |= {
                prefix + "self_attn.q_proj.weight": query,
                prefix + "self_attn.k_proj.weight": key,
                prefix + "self_attn.v_proj.weight": value,
                prefix + "self_attn.o_proj.weight": block.out.weight,
                prefix + "mlp.gate_proj.weight": gate,
                prefix + "mlp.up_proj.weight": up,
                prefix + "mlp.down_proj.weight": block.down.weight,
                prefix + "input_layernorm.weight": block.norm_attention.weight,
                prefix + "post_attention_layernorm.weight": block.norm_mlp.weight,
            }
        state["model.norm.weight"] = self.norm.weight
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    @torch.no_grad()
    def load_llama_state(self, state: dict[str, Tensor]) -> None:
        """Takes over the weights of a `LlamaForCausalLM`."""
        self.embedding.weight.copy_(state["model.embed_tokens.weight"])
        self.norm.weight.copy_(state["model.norm.weight"])
        for index, block in enumerate(self.blocks):
            layer = {name: state[f"model.layers.{index}.{name}.weight"] for name in LLAMA_LAYER}
            block.qkv.weight.copy_(torch.cat([layer[f"self_attn.{n}_proj"] for n in "qkv"]))
            block.out.weight.copy_(layer["self_attn.o_proj"])
            block.gate_up.weight.copy_(torch.cat([layer["mlp.gate_proj"], layer["mlp.up_proj"]]))
            block.down.weight.copy_(layer["mlp.down_proj"])
            block.norm_attention.weight.copy_(layer["input_layernorm"])
            block.norm_mlp.weight.copy_(layer["post_attention_layernorm"])

"""The contrastive loss."""

from __future__ import annotations

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss

from dualtask.contrast import nt_xent


def random_batch(seed=0, count=24, classes=2):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn((count, 16), generator=generator)
    labels = torch.randint(1, classes + 1, (count,), generator=generator)
    return embeddings.requires_grad_(), labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_equals_pytorch_metric_learning(seed, temperature):
    embeddings, labels = random_batch(seed)
    loss = nt_xent(embeddings, labels, temperature)
    reference = NTXentLoss(temperature=temperature)(embeddings, labels)
    torch.testing.assert_close(loss, reference, rtol=1e-4, atol=1e-5)
    gradient, expected = (torch.autograd.grad(value, embeddings)[0] for value in (loss, reference))
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)


def test_value_of_two_orthogonal_classes():
    embeddings = torch.eye(2).repeat_interleave(2, dim=0)
    loss = nt_xent(embeddings, torch.tensor([1, 1, 2, 2]), temperature=1.0)
    # s = 1 within a class, 0 to both members of the other.
    torch.testing.assert_close(loss, torch.log1p(2 * torch.exp(torch.tensor(-1.0))))


def test_descent_pulls_a_class_together_and_pushes_the_other_away():
    embeddings = torch.tensor([[1.0, 0.3], [1.0, -0.3], [0.8, 0.6]], requires_grad=True)
    labels = torch.tensor([2, 2, 1])
    nt_xent(embeddings, labels).backward()
    moved = torch.nn.functional.normalize((embeddings - 0.01 * embeddings.grad).detach(), dim=1)
    start = torch.nn.functional.normalize(embeddings.detach(), dim=1)
    assert moved[0] @ moved[1] > start[0] @ start[1]
    assert moved[0] @ moved[2] < start[0] @ start[2]


def test_order_of_the_embeddings_does_not_matter():
    embeddings, labels = random_batch()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(nt_xent(embeddings[order], labels[order]), nt_xent(embeddings, labels))


def test_length_of_the_embeddings_does_not_matter():
    embeddings, labels = random_batch()
    torch.testing.assert_close(nt_xent(7 * embeddings, labels), nt_xent(embeddings, labels))


@pytest.mark.parametrize("labels", [[], [1], [1, 2], [2, 2, 2]], ids=["none", "one", "no pair", "one class"])
def test_without_pairs_or_negatives_the_loss_is_a_zero_with_zero_gradient(labels):
    embeddings = torch.randn((len(labels), 8), requires_grad=True)
    loss = nt_xent(embeddings, torch.tensor(labels, dtype=torch.uint8))
    loss.backward()
    assert loss == 0
    assert (embeddings.grad == 0).all()


def test_autocast_keeps_float32():
    embeddings, labels = random_batch()
    expected = nt_xent(embeddings, labels)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent(embeddings, labels)
        low_precision = nt_xent(embeddings.bfloat16(), labels)
    assert loss.dtype == low_precision.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


def test_gradient_matches_finite_differences():
    embeddings, labels = random_batch(count=6)
    assert torch.autograd.gradcheck(
        lambda values: nt_xent(values, labels, temperature=0.5), embeddings.detach().double().requires_grad_()
    )

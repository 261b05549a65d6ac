"""Weights of OpenCLIP in timm's transformer: the image tower computes the same."""

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from timm.models.vision_transformer import VisionTransformer

from tgn.models.foreign_weights import load_backbone
from tgn.models.vision_transformers import fitted_weights

WIDTH, SIZE, OUTPUT = 64, 32, 8


def test_the_image_tower_of_an_openclip_file_is_taken():
    vision = CLIPVisionCfg(layers=2, width=WIDTH, patch_size=16, image_size=SIZE)
    text = CLIPTextCfg(context_length=8, vocab_size=16, width=16, heads=1, layers=1)
    clip = CLIP(OUTPUT, vision, text).eval()
    net = VisionTransformer(
        img_size=SIZE,
        patch_size=16,
        embed_dim=WIDTH,
        depth=2,
        num_heads=1,
        pre_norm=True,
        norm_layer=torch.nn.LayerNorm,  # with CLIP's epsilon of 1e-5
        num_classes=3,
    ).eval()
    file = {name: value.detach() for name, value in clip.state_dict().items()}
    load_backbone(net, fitted_weights(net, file, "clip"), "clip", ["head.weight", "head.bias"])
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        embedding = net.forward_head(net.forward_features(images), pre_logits=True)
        torch.testing.assert_close(
            embedding @ clip.visual.proj, clip.encode_image(images), rtol=1e-4, atol=1e-5
        )


def test_other_networks_keep_their_weights():
    weights = {"weight": torch.ones(2, 2)}
    assert fitted_weights(torch.nn.Linear(2, 2), weights, "x") == weights

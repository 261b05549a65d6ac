import torch
from test_cdtg_pipeline import built
from tgn.generation.cdtg.gradient_norms import gradient_norms
def test_nan(trained):
    t = built(trained, clip="none")
    b = t._batch(0); f = t._generate(b)
    print([bool(x.isfinite().all()) for x in (f.images, f.given, b.features, b.images)])
    g = t.networks.generator
    for n,p in g.named_parameters():
        if not p.isfinite().all(): print("param", n)
    terms = t.generator_terms(b, f); terms["path"]=t._path_length(b,0)
    ps=dict(g.named_parameters())
    for k,v in terms.items():
        gr=torch.autograd.grad(v,[*ps.values()],retain_graph=True,allow_unused=True)
        print(k,float(v),[n for n,x in zip(ps,gr) if x is not None and not x.isfinite().all()][:3])
    print(g.fusion.feature_scale, g.fusion.pooled(b.features).abs().max())
    assert 0

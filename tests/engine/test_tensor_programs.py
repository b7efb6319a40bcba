"""Short programs that PyTorch and the engine must agree on: values, dtypes and shapes of what users write."""

from typing import Any

import numpy as np
import numserve.engine as engine
import pytest

# m is the module, T(2, 3) a tensor of fixed random numbers, L([…]) one of the list.
PROGRAMS = """
T(2,3,4).flatten(-2)
T(2,3,4).squeeze().unsqueeze(-2)
T(1,3,1).squeeze((0,2))
T(2,3,4).movedim((0,1),(2,0))
T(2,3,4).transpose(-1,-3)
T(2,12).unflatten(1,(3,-1))
T(3,4).repeat(2,2)
T(3,4).repeat_interleave(2,dim=1)
T(5,4).roll(2,0)
T(5,4).roll((1,2),(0,1))
T(3,3).rot90(3)
T(3,3).rot90(1,(1,0))
T(3,5).diag()
T(3).diag(-1)
T(7,2).tensor_split(3)[1]
T(7,2).tensor_split((1,9))[2]
T(7,2).chunk(4)[-1]
T(7,2).split(3)[2]
T(2,8,8).unfold(1,4,4).unfold(2,4,2)
T(2,3,4).sum((0,2),keepdim=True)
T(2,3,4).mean((-1,-2))
T(2,3,4).var((1,2))
T(2,3,4).std(1,keepdim=True)
T(2,3,4).std(1,False)
T(2,3).var(1,unbiased=False)
T(2,3,4).norm()
T(2,3,4).norm(dim=1)
T(2,3,4).norm(p=1,dim=(0,1),keepdim=True)
T(2,3,4).logsumexp((0,1))
T(2,3,4).median()
T(2,3,4).median(1)[0]
T(2,3,4).kthvalue(2,1)[1]
T(2,30).topk(5,largest=False)[1]
T(2,5000).topk(5)[1]
T(2,5000).topk(5,largest=False)[0]
T(5000,2).topk(4,dim=0)[1]
T(3,4).quantile(0.9,dim=0,keepdim=True)
T(3,4).argsort(dim=0,descending=True)
T(3,4).cummax(1)[0]
T(3,4).lerp(T(3,4)*2,0.3)
T(3,4).addcmul(T(3,4),T(4),value=0.5)
T(3,4).addcdiv(T(3,4),T(3,4)+9,value=2)
T(3,5).addmm(T(3,4),T(4,5),beta=0.5,alpha=2)
m.einsum('bij,bjk->bik',T(2,3,4),T(2,4,5))
m.outer(T(3),T(4))
m.cdist(T(3,2),T(4,2))
m.logit(m.sigmoid(T(3)),eps=1e-6)
m.nansum(m.where(T(5)>0,T(5),float('nan')))
m.take_along_dim(T(3,4),m.argmax(T(3,4),1,keepdim=True),1)
m.gather(T(3,4),1,L([[0,1],[2,3],[3,0]]))
T(3,4).index_add(0,L([0,0]),T(2,4))
T(3,4).scatter(1,L([[0],[1],[2]]),9.0)
T(3,4).masked_fill(T(3,4)>0,-1)
T(3,4)[T(3,4)>0]
T(3,4)[[0,2]]
T(3,4)[:, [True,False,True,False]]
T(3,4)[..., None, 1:]
T(3,4)[L([[0,1],[2,0]])]
m.bucketize(T(5),L([-1.0,0.0,1.0]))
m.histc(T(50),10,-2,2)
m.cat([T(2,3),T(0,3)],0)
m.cat([T(2,3),T(2,1)],-1)
m.stack([T(3),T(3)],-1)
m.meshgrid(m.arange(3),m.arange(2),indexing='xy')[1]
m.arange(0,1,0.1)
m.linspace(0,1,7)
m.full((2,),True)
m.full((2,),3)
m.clamp(T(3,4),min=T(4))
T(3,4).clamp(0)
T(3,4).round(decimals=1)
T(3,4).prod(1)
T(3,4).amax((0,1))
T(3,4).argmax()
T(3,4).tril(-1)
T(3,4).flip(0,1)
m.vstack([T(3),T(2,3)])
m.hstack([T(3),T(2)])
m.tile(T(2,3),(2,))
T(3,1).expand(-1,4)
m.broadcast_to(T(3,1),(2,3,4))
(T(3,4)>0).sum()
(T(3,4)>0).float().mean()
T(3,4).long().sum(0)
T(3,4).half().sum()
T(3,4).any()
m.isclose(T(3),T(3)+1e-9)
T(3,4).softmax(0).log()
T(2,2)**-1
2**T(2,2)
T(2,2)//0.3
T(2,2)%0.3
-7//T(2,2)
m.div(T(3),0.4,rounding_mode='trunc')
m.remainder(L([-5,5]),3)
m.fmod(L([-5,5]),3)
m.unique(L([3,1,3]),return_counts=True)[1]
T(3,4).T.contiguous().view(-1)
T(4,4).trace()
m.tensor(5).expand(2)
m.tensor(3.0).sum(0)
m.tensor([[1,2],[3,4]]).diagonal(offset=1)
m.var_mean(T(3,4),1)[0]
m.tril_indices(3,3,-1)
m.aminmax(T(3))[1]
T(3).new_zeros(2,2)
T(3).new_full((2,),7)
m.zeros_like(T(3),dtype=m.int64)
m.where(T(3)>0,1,0)
m.where(T(3)>0,T(3),0)
m.searchsorted(L([1,3,5]),L([3,4]),right=True)
m.squeeze(T(1,2),1)
m.cumsum(T(3,4),dim=-1)
m.index_select(T(3,4),1,L([3,3]))
m.flatten(m.tensor(2.0))
m.max(T(3,4),dim=1,keepdim=True)[1]
m.max(T(3),T(3)*-1)
m.std(T(3,4))
m.baddbmm(T(2,3,5),T(2,3,4),T(2,4,5),beta=2)
m.logaddexp(T(3),T(3))
m.xlogy(T(3).abs(),T(3).abs())
m.count_nonzero(T(3,4)>0,dim=0)
m.normal(m.zeros(3),m.zeros(3))
m.argwhere(T(3,4)>0)
m.nan_to_num(L([float('nan'),float('inf')]))
m.unbind(T(2,3),1)[2]
m.swapaxes(T(2,3),0,1)
m.diff(T(5))
""".strip().splitlines()


def run(program: str, m: Any) -> Any:
    def numbers(*shape: int) -> Any:
        return m.tensor(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))

    return eval(program, {"m": m, "T": numbers, "L": m.tensor})


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_runs(program: str) -> None:
    assert isinstance(run(program, engine), engine.Tensor)


@pytest.mark.oracle
@pytest.mark.parametrize("program", PROGRAMS)
def test_torch_agrees(program: str) -> None:
    expected, result = run(program, pytest.importorskip("torch")), run(program, engine)
    assert str(expected.dtype) == f"torch.{result.dtype.name}" and tuple(expected.shape) == result.shape
    np.testing.assert_allclose(result.array, expected.numpy(), rtol=1e-4, atol=1e-5)

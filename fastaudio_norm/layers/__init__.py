"""Each normalization as a plain `nn.Module`."""

from fastaudio_norm.layers.modules import AudioNorm, Layer, PCENNorm, ShortTimeNorm, SlidingNorm, SpecNorm
from fastaudio_norm.transforms.adaptive import PCENLayer, RelaxedFreqNorm

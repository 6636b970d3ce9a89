"""Text that zlib streams of headers and graphs refer to, in place of saying it in every file."""

from __future__ import annotations

import base64
import zlib

# Part of the format (docs/format.md, section 1): a changed byte makes files unreadable.
_FIRST = (
    b'"exact":[["nan",[0]]],"levels":[0.0,1.0,2.0,3.0],"interpolation","dtype":"float64int64ui'
    b'nt32"double""boxes":[[0,"name":"sci""name":"fourier""settings":{"depth":4,"width":2}}],"'
    b'trunk":[["w0",[["w0b",[["w1",[["w1b",[["w2",[["w2b",[["w3",[["w3b",[["w4",[["w4b",[["w5"'
    b',[["w5b",[,16,1],0.0"models":[{"channels":[0],"graphs":[0,-1,1],"head":[["h0",[16,16],0.'
    b'00["h0b",[16,1],0.00["h1",[1,16],0.000["h1b",[1,1],0.000],"lattice":{"blocks":[2,2,2],"f'
    b'eatures":16,"overlap":3,"spacing":0},"name":"siren","settings":{"arrays":[{"channel":0,"'
    b'components":1,"dtype":"int16uint16uint8float32","high":255.0,"low":0.0,"metrics":{"max_a'
    b'bs_error":0.0,"nrmse":0.00,"psnr_db":4,"ssim":0.9},"name":"intensity","offset":[0.0],"pr'
    b'ecision":"single","residual":"wavelet","scale":[1.0]}],"encoding":{"inrvis":"0.1.0","see'
    b'd":0,"steps":1,"target":"max error 0.001 of the rangecompression ratio PSNR 40 dB"},"gri'
    b'd":{"direction":[1.0,0.0,0.0,0.0,1.0,0.0,0.0,0.0,1.0],"extent":[0,127,0,255,0,63],"origi'
    b'n":[0.0,0.0,0.0],"spacing":[1.0,1.0,1.0]},"kind":"volume","masks":1"masks":0,"models":[]'
    b',"times":[]}'
)

# Graphs of networks as they are written today, in base64 of zlib.
_GRAPHS = (
    b"eNrtlb1u2zAQx0VJjZVL3DhMiyRAkBYeijaTvg1kCtKhQIAsaScvhezIsQF/wWSg2G/QsW/QrWNfpnsfpb2TFIuWNH"
    b"TthwZaPP5I4k7/+9uyzr+ZcAJ6YsNOfzZb3I6mkYwFZ1F76zqS1/dj2AEWcdZvG29nIp+ItvF+NIUjMBKnD6xPvz1u"
    b"DJ1+23wXTyZwSBEBTAAFuT508oWngO9cX7ht8yYe3yOoJy7gHDe4PQRdBXQR9BTQQ9BD0CPQU0APQV8BfQR9BH0CfQ"
    b"X0EQwUMEAwQDAgMMhAzu66p5vV2IOmxfg26JYBBmfTLqeK8V0ADG+BRgvd/bQaHGMYNDGoZSGxETrIaqVuZd0WVaGC"
    b"uXWYV8G8OsyvYH4dFlSwoIT1EBtuYJc4tvYt6/yzAa9hO4lHd0MpPj6QZrY/LKKpmM9EfNYEcx4vJhfsQvvCGljtxj"
    b"iSctSPUwX11vI6Lo5YAuuR0h6XDklaW/NxNCVF3rYbN7EYRvNY3bMCdstZvN7zHFgM5mKW4I7Begd+07NXltFqXObH"
    b"XR1ppedn/pydWDpy6RFXrfJq9806D34KJ1iTIzC5PrBpnKzScZmOD90XanE4tBDepaXpQxVYbgDZCUsVWG0A2UWr3h"
    b"6wQe23+c7gAKxBHMn7BRZPF3bWsij6oQ04xca0UfTSzrujCfiOnFNwDnIONTBxTtEcx8rBTdjBuxt4d9oXJBa7rCm6"
    b"qCI9dIEy5tRITzq16X19Ai8rpoXqpZSEkpKw0xQfU0ocyjLrQEq14Jw0xTXn0s25JQlX4dCSpFtw6EjSzR1JeAqHji"
    b"S9gkNDkl5uSMJXODQk6Rcc+pH0cz8SgcIFyAUFFyJHvhUSFypciFxYcB3kQuQ6xHV+399aqb+VvaHuOybOH21vKRZW"
    b"sLAO61SwTo1iRaeq2Ge6pqFqP5n/jmr/q6ysi5o/0R9aqou/2ax/AdXzsbM="
)
# What headers hold most often comes last, where references are the shortest.
_HEADERS = (
    b'"exact":[["nan",[0]]],"levels":[0.0,1.0,2.0,3.0],"interpolation""double"float64int64uint32'
    b'"boxes":[[0,0,0,"name":"sci""name":"fourier""kind":"series""times":[0.0,1.0,"dtype":"uint8'
    b'","high":255.0,"low":0.0,"name":"density""dtype":"float32",,"dtype":"int16","ratio 200"]}]'
    b',"encoding":{"inrvis":"0.1.0","preset":"balanced"max error 0.001 of the rangecompression r'
    b'atio {"arrays":[{"channel":0,"components":1,"dtype":"uint16","high":4095.0,"low":0.0,"metr'
    b'ics":{"max_abs_error":0.0,"nrmse":0.01,"psnr_db":40.0,"ssim":0.9},"name":"intensity","offs'
    b'et":[0.0],"precision":"single","residual":"wavelet","scale":[1.0]}],"encoding":{"inrvis":"'
    b'0.1.0","seed":0,"steps":1,"target":"PSNR 40 dB"},"grid":{"direction":[1.0,0.0,0.0,0.0,1.0,'
    b'0.0,0.0,0.0,1.0],"extent":[0,255,0,127,0,63],"origin":[0.0,0.0,0.0],"spacing":[1.0,1.0,1.0'
    b']},"kind":"volume","masks":0,"models":[{"channels":[0],"graphs":[0,-1,1],"head":[["h0",[16'
    b',16],0.05,42],["h0b",[16,1],0.03,41],["h1",[1,16],0.003,63],["h1b",[1,1],0.003,61]],"latti'
    b'ce":{"blocks":[1,1,1],"features":16,"overlap":3,"spacing":0},"name":"siren","settings":{"d'
    b'epth":4,"width":16}},"trunk":[["w0",[1,16,3],0.03,76],["w0b",[1,16,1],0.01,80],["w1",[1,16'
    b',16],0.03,59],["w1b",[1,16,1],0.02,64],["w2",[1,16,16],0.05,48],["w2b",[1,16,1],0.04,57],['
    b'"w3",[1,16,16],0.08,43],["w3b",[1,16,1],0.06,50],["w4",[1,16,16],0.1,36],["w4b",[1,16,1],0'
    b'.1,51],["w5",[1,16,16],0.07,39],["w5b",[1,16,1],0.05,58]]}],"times":[]}'
)
_SECOND = zlib.decompress(base64.b64decode(_GRAPHS)) + _HEADERS
# The same with networks whose tensors are told in a few bytes.
_NETWORKS = (
    b'"models":[{"channels":[0],"graphs":[0,-1,1],"head":[8,1],"lattice":{"blocks":[1,1,1],"fea'
    b'tures":8,"overlap":0,"spacing":0},"name":"siren","settings":{"depth":4,"width":16},"steps"'
    b':"","trunk":[16,16,16,16,16,8]}],"times":[]}'
)
_THIRD = _SECOND[: _SECOND.rindex(b'"models"')] + _NETWORKS
# All that readers know; writers use the last one.
DICTIONARIES = (_FIRST, _SECOND, _THIRD)

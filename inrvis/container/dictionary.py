"""Text that zlib streams of headers refer to, in place of saying it in every file."""

from __future__ import annotations

# Part of the format (docs/format.md, section 1): a changed byte makes files unreadable. What
# headers hold most often comes last, where references are the shortest.
DICTIONARY = (
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

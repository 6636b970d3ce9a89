"""From a scene in ParaView to one file: Save Extracts, then one call.

    eval "$(inrvis paraview-env)"
    xvfb-run -a -s "-screen 0 1280x900x24" pvpython export.py FOLDER.cdb [views.inr [SECONDS]]

In the window the same is *Extractors › Image › PNG* with Camera Mode Phi-Theta, then *File › Save
Extracts* with *Generate Cinema Specification*, then ``inrvis encode FOLDER.cdb -o views.inr``.
"""

from __future__ import annotations

import importlib.util
import sys

from paraview import simple


def scene():
    """A contour of a wavelet, in a view of 192 × 160 pixels."""
    wavelet = simple.Wavelet(WholeExtent=[-12, 12, -12, 12, -12, 12])
    contour = simple.Contour(
        Input=wavelet, ContourBy=["POINTS", "RTData"], Isosurfaces=[130.0, 180.0]
    )
    view = simple.CreateView("RenderView")
    view.ViewSize = [192, 160]
    view.OrientationAxesVisibility = 0
    simple.Show(contour, view)
    simple.ResetCamera(view)
    simple.Render(view)
    return view


def main():
    """Render from all sides and, if a file is named, encode."""
    folder, *options = sys.argv[1:]
    extractor = simple.CreateExtractor("PNG", scene(), registrationName="turntable")
    extractor.Writer.FileName = "view_{timestep:06d}{camera}.png"
    extractor.Writer.ImageResolution = [192, 160]
    extractor.Writer.CameraMode = "Phi-Theta"
    extractor.Writer.PhiResolution = 12
    extractor.Writer.ThetaResolution = 4
    # The wavelet never changes: one of the animation's steps is enough.
    extractor.Trigger.UseEndTimeStep = 1
    extractor.Trigger.EndTimeStep = 0
    # ParaView writes data.csv with pandas (apt-get install python3-pandas). Without it, inrvis
    # reads the parameters from the images' names.
    table = int(importlib.util.find_spec("pandas") is not None)
    simple.SaveExtracts(ExtractsOutputDirectory=folder, GenerateCinemaSpecification=table)
    if not options:
        return

    import inrvis
    from inrvis.encoder.images.settings import ImageTraining

    file, *seconds = options
    training = ImageTraining(seconds=float(seconds[0])) if seconds else None
    # So few and small images would be smaller as stills; a real turntable needs no force.
    report = inrvis.encode_images(folder, file, training=training, force=True)
    sys.stdout.write(
        f"{report.images} images, {report.psnr_db:.1f} dB, {report.encoded_bytes} bytes\n"
    )


if __name__ == "__main__":
    main()

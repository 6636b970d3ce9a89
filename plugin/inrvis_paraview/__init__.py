"""ParaView's side of inrvis: the VTK classes that ``xml/inrvis.xml`` names."""

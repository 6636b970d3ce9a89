"""The `.inr` file: sections, header, graphs; read with suspicion, written in one step."""

"""Canton MCP: an MCP server for Canton and DAML developers, with DCAP telemetry."""

from importlib import metadata

__all__ = ["__version__"]


def _version() -> str:
    try:
        return metadata.version("canton-mcp")
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


__version__ = _version()

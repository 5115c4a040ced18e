"""XML without a DOCTYPE: no entities, and nothing that is fetched or grows."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from voge.errors import DataError

CUT = (
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
)


def read_xml(path: Path) -> Element:
    """The root of an XML file.

    Raises:
        DataError: the file is no XML, or has a DOCTYPE.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise DataError(path, "has a DOCTYPE, which is not read", "remove the line, if the file is to be trusted")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        reason = expat.errors.messages[error.code]
        remedy = "is it complete?" if error.code in CUT else "is it the right file?"
        raise DataError(path, f"is no XML (line {error.lineno}: {reason})", remedy) from error
    return builder.close()

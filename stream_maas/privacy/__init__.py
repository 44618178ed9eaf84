"""What counts as personal data (detect), and what is done to it (transform)."""

from stream_maas.privacy.config import RedactionConfig
from stream_maas.privacy.redactor import Redactor

__all__ = ["RedactionConfig", "Redactor"]

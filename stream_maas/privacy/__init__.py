"""What counts as personal data (detect), and what is done to it (transform)."""

from stream_maas.privacy.catalogue import catalogue
from stream_maas.privacy.config import RedactionConfig
from stream_maas.privacy.explain import Entity
from stream_maas.privacy.keys import DerivedKeys, PseudonymKey, PseudonymKeys
from stream_maas.privacy.policy import DEFAULT_POLICY, Policy
from stream_maas.privacy.redactor import Redactor
from stream_maas.privacy.treatment import NameModel

__all__ = [
    "DEFAULT_POLICY",
    "DerivedKeys",
    "Entity",
    "NameModel",
    "Policy",
    "PseudonymKey",
    "PseudonymKeys",
    "RedactionConfig",
    "Redactor",
    "catalogue",
]

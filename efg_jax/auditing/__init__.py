"""Wrong labels, found before they are learned: faults of structures and tensors, of units and signs, duplicates."""

from efg_jax.auditing.audit import audit
from efg_jax.auditing.findings import AuditResult, Finding

__all__ = ["AuditResult", "Finding", "audit"]

"""The vendor's API over HTTP. The body's `code` is the verdict; HTTP is 200 even for errors (veo-api §1).

transport.py   one request, and what came of it
answers.py     the envelope and what is in it, read so that nothing odd is an error
outcomes.py    the tables: which answer means what
veo.py         the dedicated form, `/api/v1/veo/…` (veo-api §2-§8)
jobs.py        the unified form, `/api/v1/jobs/…` (veo-api §13)
vendor.py      the client, in either form
"""

from app.adapters.kie.transport import USER_AGENT
from app.adapters.kie.vendor import KieVendor

__all__ = ["USER_AGENT", "KieVendor"]

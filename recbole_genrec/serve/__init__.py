"""A trained model as a web service.

server     from a checkpoint to a running server, and its end
app        the paths of the service
questions  what is asked and answered, and its limits
batcher    requests that arrive together share a call of the model
titles     items by words of their titles
page.html  the page to try it
"""

from recbole_genrec.errors import MissingPackage

try:
    import fastapi_offline  # noqa: F401  (brings fastapi)
    import uvicorn  # noqa: F401
except ImportError as error:
    raise MissingPackage(
        f'serve needs the package {error.name}: pip install "recbole-genrec[serve]"'
    ) from error

from recbole_genrec.serve.app import create_app  # noqa: E402
from recbole_genrec.serve.questions import Limits  # noqa: E402
from recbole_genrec.serve.server import serve  # noqa: E402

__all__ = ["Limits", "create_app", "serve"]

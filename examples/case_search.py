"""Search past cases by words, by an image, or by both: `medistill embed`, `index`, `search` in Python."""

# %% A model and a corpus; every image of it as a vector, in a table; the table in an index.
import tempfile
from pathlib import Path

from phantom_run import phantom_run

from medistill import open_corpus
from medistill.serve.index.embed import embed
from medistill.serve.index.filters import Filters
from medistill.serve.index.index import index_for
from medistill.serve.index.query import model_of, query_vector
from medistill.serve.index.table import open_table

home = Path(tempfile.mkdtemp())
corpus, run = phantom_run(home)
embed(str(run), corpus, home / "table.arrow")
table = open_table(home / "table.arrow")
index = index_for(home / "index", table.about)  # later: open_index(home / "index")
index.add(table)
print(f"{len(index)} images in the index")

# %% Search by words. The index knows its model, and refuses vectors of another.
model = model_of(index.about)
words = model.encode_texts(["The heart is enlarged."])[0]
for hit in index.search(words, 3):
    print(f"{hit.score:.3f}  {hit.case.study_id}  {hit.case.text[:60]}")

# %% By an image and words together, among women of 60 and older, one study a patient.
rows = open_corpus(corpus).split("test")
image = model.encode_images([rows.image(0)])[0]
both = query_vector(image, words, weight=0.7)
older = Filters(sexes=("F",), ages=(60, None))
for hit in index.search(both, 3, filters=older):
    print(f"{hit.score:.3f}  {hit.case.sex} {hit.case.age:.0f}  {hit.case.text[:60]}")

# %% A study that must go is gone at once, and from the disk.
first = index.search(words, 1)[0].case.study_id
index.delete([first])
assert index.search(words, 1)[0].case.study_id != first
index.close()

"""A second, independent reading of SEMANTICS 2-10, and random histories that play it against a running server.

`oracle` predicts every credit from the text alone and shares no code with `issuance`; `histories` draws what happens
to a brand from a seed; `driver` plays it over HTTP and compares after each step; `shrink` makes a failure short. The
paragraphs (`tests/end_to_end/test_*_paragraphs.py`) state the text sentence by sentence, without the oracle.

`ISSUANCE_MODEL_SEEDS=200 ./test tests/end_to_end/test_histories.py` plays more histories in the suite;
`python -m campaigns.model --seeds N --start S` plays a campaign against the server at ISSUANCE_URL.
"""

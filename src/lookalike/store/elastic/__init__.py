"""Records and vectors in Elasticsearch: its documents are the truth, its own kNN finds.

`address`: where. `cluster`: a connection, patient and with our errors. `mapping` and `kinds`: what
an index is made like. `documents`: a record as a document, and back. `conditions`: filters as
queries. `places`: what lies where, written. `nearest`: what is found. `generations`: one index
taking over from another. `home` and `store`: the faces.
"""

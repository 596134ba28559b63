"""Records and vectors in Elasticsearch: its documents are the truth, its own kNN finds.

`address`: where. `cluster`: a connection, patient; `node` soon leaves out who is not there, and
`faults` has what goes wrong as our errors. `mapping` and `kinds`: what an index is made like.
`documents`: a record as a document, and back. `conditions`: filters as queries. `reading`:
documents by id, by query, all of them. `places`: what lies where, written. `nearest`: what is
found. `generations`: one index taking over from another, under a `lock`; `filling`: a collection
made of a backup; `moment`: one as it is now, for a backup. `home` and `store`: the faces.
"""

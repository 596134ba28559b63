"""How good the answers of a collection are, measured against what is known to be right.

truth = truths.read("roxford5k/gnd_roxford5k.pkl")   # `truth`: what is right, from any layout
asked = truths.against(truth, collection)            # the same, of stored pictures
answer = asked.queries[0].judge(ids, scores)         # one ranking, judged
mean(per_query(average_precision, answers))          # `metrics`, `significance`, `thresholds`
"""

#include "fathom/cli/eval/request.h"

namespace fathom {

std::optional<EvalRequest> parse_eval(const Arguments& arguments) {
  CommandLine line("eval", "RUN [--key=value ...]",
                   "Loss, perplexity and accuracy of a trained model over a whole split.",
                   "fathom eval quickstart --split=val");
  EvalRequest request;
  line.positional("RUN", request.model.run, "a run's name, or its folder");
  FieldList list;
  add_fields(list, request.model);
  list.section("evaluation");
  list.add("split", request.split, "train or val");
  list.add("dataset", request.dataset,
           "another corpus of the same vocabulary; empty: the run's own")
      .path();
  list.add("batch_size", request.batch_size, "sequences of one forward pass")
      .at_least(1)
      .at_most(1 << 20);
  list.add("max_batches", request.max_batches, "stop after this many, 0: the whole split")
      .at_least(0)
      .at_most(1e12);
  add_fields(list, request.output);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  settle(list, request.output);
  settle(request.model);
  settle_state(request.model);
  request.notices = notices_of(list);
  return request;
}

}  // namespace fathom

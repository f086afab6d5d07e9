#include "fathom/cli/train/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

namespace {

Engines check_train(const Arguments& arguments) {
  const std::optional<TrainRequest> request = parse_train(arguments);
  if (!request) return false;
  Engines engines(static_cast<int>(request->options.nproc));
  const Launch& launch = request->launch;
  if (launch.size == 1) return engines;
  engines.here = 1;
  engines.sharing = launch.is_bound ? 1 : launch.local_size;
  engines.forget_threads = launch.has_default_threads;
  return engines;
}

}  // namespace

Verb verb_train() {
  Verb verb{"train", "train a model", 50};
  verb.check = check_train;
  return verb;
}

}  // namespace fathom

// `fathom train`
#include "fathom/cli/train/request.h"
#include "fathom/study/samples_of_run.h"
#include "fathom/track/console.h"
#include "fathom/train/training_session.h"

namespace fathom {

int run_train_in_engine(const Arguments& arguments) {
  std::optional<TrainRequest> request = parse_train(arguments);
  if (!request) return 0;
  console_is_only_watched();
  return run_training(*request, samples_of,
                      [&](bool goes_on) { return parse_train_of_rank(arguments, goes_on); });
}

}  // namespace fathom

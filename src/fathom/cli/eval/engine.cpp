// `fathom eval`
#include "fathom/cli/eval/request.h"
#include "fathom/study/evaluation/eval_run.h"
#include "fathom/track/console.h"

namespace fathom {

int run_eval_in_engine(const Arguments& arguments) {
  const auto request = parse_eval(arguments);
  if (!request) return 0;
  for (const std::string& notice : request->notices) say_note(notice);
  give(eval_run(*request), request->output);
  return 0;
}

}  // namespace fathom

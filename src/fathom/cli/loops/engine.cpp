// `fathom loops`
#include "fathom/cli/loops/request.h"
#include "fathom/io/files.h"
#include "fathom/study/loops_of_run.h"
#include "fathom/track/console.h"

namespace fathom {

int run_loops_in_engine(const Arguments& arguments) {
  const auto request = parse_loops(arguments);
  if (!request) return 0;
  for (const std::string& notice : request->notices) say_note(notice);
  const LoopFacts facts = loops_of_run(*request);
  if (!request->csv.empty()) {
    const std::string csv = trajectories_csv(facts);
    write_output(request->csv, as_bytes(csv));
  }
  give(loops_report(facts), request->output);
  return 0;
}

}  // namespace fathom

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
  const auto write = [](const std::string& file, const std::string& csv) {
    write_output(file, as_bytes(csv));
  };
  if (!request->csv.empty()) write(request->csv, trajectories_csv(facts));
  if (!request->convergence_csv.empty()) write(request->convergence_csv, convergence_csv(facts));
  if (!request->numbers_csv.empty()) write(request->numbers_csv, numbers_csv(facts));
  give(loops_report(facts), request->output);
  return 0;
}

}  // namespace fathom

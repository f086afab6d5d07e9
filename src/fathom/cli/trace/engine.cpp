// `fathom trace`
#include "fathom/base/text.h"
#include "fathom/cli/trace/request.h"
#include "fathom/study/trace_of_run.h"
#include "fathom/track/console.h"

namespace fathom {

int run_trace_in_engine(const Arguments& arguments) {
  const auto request = parse_trace(arguments);
  if (!request) return 0;
  for (const std::string& notice : request->notices) say_note(notice);
  const ExitTable table = trace_of_run(*request);
  give(exit_report(table), request->output,
       counted(static_cast<int64_t>(table.rows.size()), "token"));
  return 0;
}

}  // namespace fathom

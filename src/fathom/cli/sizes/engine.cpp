// `fathom sizes`
#include "fathom/cli/sizes/request.h"
#include "fathom/io/files.h"
#include "fathom/study/sizes_of_run.h"
#include "fathom/track/console.h"

namespace fathom {

int run_sizes_in_engine(const Arguments& arguments) {
  const auto request = parse_sizes(arguments);
  if (!request) return 0;
  for (const std::string& notice : request->notices) say_note(notice);
  const SizeFacts facts = sizes_of_run(*request);
  if (!request->csv.empty()) {
    const std::string csv = sizes_csv(facts);
    write_output(request->csv, as_bytes(csv));
  }
  give(sizes_report(facts), request->output);
  return 0;
}

}  // namespace fathom

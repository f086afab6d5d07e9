#include "fathom/cli/run_list/request.h"

#include "fathom/train/recipe/suggested_words.h"

namespace fathom {

std::optional<RunListRequest> parse_runs(const Arguments& arguments) {
  CommandLine line(
      "runs", "[PATTERN ...] [--key=value ...]",
      "What runs there are, newest first: of what preset, on what data, how far, their\n"
      "last training loss, the best of their evaluations, and how they ended.",
      "fathom runs 'quickstart*'");
  RunListRequest request;
  line.takes_more_words(request.patterns, "PATTERN",
                        "of runs' names: `*` is any text, `?` one character; in quotes, or the "
                        "shell takes it for files. None: all runs");
  line.suggests(suggested_runs);
  FieldList list;
  list.section("runs");
  list.add("most", request.most, "runs at most, the newest; 0: all").at_least(0).at_most(1 << 30);
  add_fields(list, request.output);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  settle(list, request.output);
  return request;
}

}  // namespace fathom

// The run store: a database with any bytes, read as `export`, `list` and `doctor` do.
#include "fathom/track/run_store.h"

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  static const Folder folder;
  const std::string bytes = in.rest();
  const std::string path = folder.write("fathom.db", bytes);
  accepts(bytes.size(), [&] {
    const RunStore store(path, {/*read_only=*/true, /*busy_timeout_ms=*/0});
    for (const RunRecord& run : store.runs()) {
      status_name(run.status);
      for (const std::string& metric : store.metric_names(run.name)) store.series(run.name, metric);
      store.for_each_step(run.name, [](const std::vector<std::string>& names, const StepValues& s) {
        require(s.values.size() == names.size(), "a place for every metric");
      });
    }
  });
}

}  // namespace fathom::fuzzing

// Where a run's data lay, and where it is found when the run is asked from another folder, or was
// moved. The run's folder has it in data.json:
//
//   {"quick": {"folder": "/home/me/lab/data/quick", "fingerprint": "0123456789abcdef"}}
//
// and no checkpoint has: its bytes say what was trained, and not in which folder.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/config/fields.h"
#include "fathom/data/corpus.h"
#include "fathom/train/recipe/run_state.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

constexpr char kDataPlacesFile[] = "data.json";  // of a run's folder

struct DataPlace {
  std::string folder;       // absolute; empty: not known
  std::string fingerprint;  // Corpus::fingerprint(); empty: not known
};
inline bool operator==(const DataPlace& a, const DataPlace& b) {
  return a.folder == b.folder && a.fingerprint == b.fingerprint;
}
// By the word of a configuration's `dataset` that names it.
using DataPlaces = std::map<std::string, DataPlace>;

DataPlaces places_of(const std::vector<StageRun>& stages);  // of what has files
std::string to_text(const DataPlaces& places);
// Throws Error that begins with `name` for what is no such file.
DataPlaces parse_data_places(const std::string& text, const std::string& name);

// Opens the data that a run's configuration names. Looked for as for every configuration, by name
// in data_root() or by path; and where that leads to nothing, or to other text than the run was
// trained on, beside the folder of its runs (RUNS/../data/NAME), then where it lay. What is found
// there is taken only if it is that very text, as far as the run says which.
class RunData {
 public:
  RunData() = default;  // of no run: open_corpus() alone
  // Of the run to which the checkpoint's folder belongs. A data.json that is missing or no such
  // file is no error: it only helps.
  RunData(const std::string& checkpoint, const RunState& state);

  // open_corpus(); where that was found elsewhere, `notices` says so. Throws Error as that does,
  // and where nothing is found one that names the places.
  Corpus open(const std::string& name, const RunConfig& config,
              std::vector<std::string>& notices) const;
  // data_parts(), and prepared_data() but for what only open() finds.
  std::vector<std::string> parts(const std::string& dataset) const;
  std::string prepared(const std::string& part) const;

 private:
  // Beside its runs, and where it lay.
  std::vector<std::string> folders_of(const std::string& name) const;

  std::string beside_;  // the folder that holds that of the runs; empty: of no run
  DataPlaces places_;
};

// The same error where data is missing; where a configuration file has set `field`, the key
// dataset, and data of that name lies beside that file, its hint says so.
Error with_data_beside(const Error& error, const std::string& dataset, const Field& field);

}  // namespace fathom

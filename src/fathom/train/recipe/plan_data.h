// What a training plan calls its data, and the prepared corpora that stand for it here.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace fathom {

// A published data set that plans know by a name of ours.
struct PublishedData {
  std::string corpus;     // the name under which it is prepared
  std::string published;  // "owner/name", as its publisher has it
  std::string part;       // configuration or file of it; empty: all
  std::string what;       // in a few words
  // What `fathom prepare` is given for it beside --name: its FOLDER of Parquet files, or one
  // FILE.parquet of them.
  std::string prepare;
};
const std::vector<PublishedData>& published_data();
const PublishedData* find_published_data(const std::string& corpus);  // null: not known

// LMPlay's {"ds_loader": wiki | openorca | hf, "args": [...], "kwargs": {...}}, or a loader of
// local files (file, text, jsonl, bin): the corpus's name, or the path. `at` is for errors
// (Error(kUsage)); arguments that have no effect here are told to `notices`.
std::string corpus_of_loader(const nlohmann::ordered_json& entry, const std::string& at,
                             std::vector<std::string>& notices);

// The parts of a `dataset` setting: a folder or a name is one, commas stand between several.
std::vector<std::string> data_parts(const std::string& dataset);

// The name under which `part` is open to open_corpus(): of a file, the corpus that was prepared
// from it. Throws Error(kUsage) for data that is not prepared, with what to download and the
// `fathom prepare` line to type.
std::string prepared_data(const std::string& part);
// Whether it would.
bool is_prepared(const std::string& part);

}  // namespace fathom

// The record of a corpus's large shards: whatever stands in its place, the shard is opened.
#include <nlohmann/json.hpp>

#include "fathom/data/shard_record.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

struct OneShard {
  Folder folder;
  OneShard() { folder.write("train.bin", std::string("\3\0\1\0\4\0", 6)); }
};

// An entry whose stamp is true, and then members that override its own.
std::string entry(const std::string& folder, const std::string& members) {
  const FileStamp stamp = *file_stamp(folder + "/train.bin");
  const nlohmann::json sound = {{"file", "train.bin"},
                                {"size", stamp.size},
                                {"inode", stamp.inode},
                                {"mtime_ns", stamp.mtime_ns},
                                {"ctime_ns", stamp.ctime_ns},
                                {"xxh3", "0123456789abcdef"},
                                {"largest", 7}};
  std::string text = sound.dump();
  text.pop_back();
  return R"({"format_version":1,"shards":[)" + text + members + "}]}";
}

}  // namespace

FATHOM_FUZZ(in) {
  static const OneShard one;
  const bool raw = in.below(2) == 0;
  const std::string rest = grown(in);
  const std::string text = raw ? rest : entry(one.folder.path(), rest.empty() ? rest : "," + rest);
  one.folder.write(".verified", text);
  ShardFacts facts;
  const bool opened = accepts(text.size(), [&] {
    ShardRecord record(one.folder.path(), {0, INT64_MAX});  // nothing new is written
    facts = record.open("train.bin").facts;
  });
  require(opened, "a record is never in the way");
  if (!raw && rest.empty()) require(facts.largest == 7, "a sound entry is believed");
}

}  // namespace fathom::fuzzing

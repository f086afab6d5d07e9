// Which files of a folder without meta.json are its shards:
//
//   {train,val}.bin   {train,val}_N.bin   <name>_{train,val}_N.{bin,npy}
//
// N is any number of digits; shards come in its order. Names that begin with a dot are none.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct ShardName {
  std::string split;   // "train", "val"
  std::string family;  // what the shards of one set have in common: "train.bin", "x_train_N.npy"
  std::string number;  // digits without leading zeros; empty: there is none
};

// None: no shard's name.
std::optional<ShardName> parse_shard_name(std::string_view file);

struct ShardFiles {
  std::map<std::string, std::vector<std::string>> splits;  // names in order of number
  std::vector<std::string> left;                           // other .bin and .npy files, sorted
};

// Throws Error when the folder cannot be listed, and when a split has shards of two families or
// two of one number: both are named.
ShardFiles list_shards(const std::string& folder);

}  // namespace fathom

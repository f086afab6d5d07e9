#include "fathom/study/many_runs/sweep_record.h"

#include <filesystem>

#include "fathom/io/files.h"
#include "fathom/track/run_folder.h"

namespace fathom {

std::string recipe_path(const std::string& sweep) {
  return (std::filesystem::path(runs_root()) / (sweep + ".toml")).string();
}

std::string plan_path(const std::string& sweep) {
  return (std::filesystem::path(runs_root()) / (sweep + ".plan.json")).string();
}

std::string stored_recipe(const std::string& word) {
  namespace fs = std::filesystem;
  const auto is_file = [](const std::string& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
  };
  if (fs::path(word).extension() == ".toml" && is_file(word)) return word;
  const bool is_name = !word.empty() && word.find('/') == std::string::npos;
  std::error_code ignored;
  if (!is_name || fs::is_directory(fs::path(runs_root()) / word, ignored)) return "";
  return is_file(recipe_path(word)) ? recipe_path(word) : "";
}

}  // namespace fathom

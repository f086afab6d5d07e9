#include "fathom/study/many_runs/stored_series.h"

#include "fathom/base/error.h"
#include "fathom/config/config_file.h"
#include "fathom/model/spec/loop_metric_names.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {

std::optional<RunConfig> config_of(const RunRecord& record) {
  try {
    RunConfig config = preset_config(record.experiment);
    FieldList fields;
    add_fields(fields, config);
    read_config_text(record.config_toml, record.name + "/config.toml", fields);
    return config;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::vector<Point> series_of(const RunStore& store, const RunRecord& record,
                             const std::string& metric) {
  std::vector<Point> points = store.series(record.name, metric);
  const std::optional<RunConfig> config = points.empty() ? config_of(record) : std::nullopt;
  if (!config) return points;
  try {
    const std::vector<std::string> keys = loop_group_keys(make_depth_plan(config->model));
    return store.series(record.name, with_numbered_group(metric, keys));
  } catch (const Error&) {  // a plan that is refused today
    return points;
  }
}

}  // namespace fathom

# Every folder of experiments/ (and of FATHOM_EXPERIMENTS) that has a presets.cpp defines
# `void register_<folder>(Registry&)`, and in a model.cpp, if it has one, `void
# register_<folder>(Models&)`. This writes the lists that call them: registration by static
# initialisers would vanish from static libraries. Of the folder's other sources architecture*.cpp,
# settings.cpp and *_settings.cpp see no torch and belong to both programs, as presets.cpp does;
# verbs/<verb>/ is a verb (cmake/verbs.cmake); all others belong to the engine.
file(GLOB experiment_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/experiments/*/presets.cpp)
foreach(folder IN LISTS FATHOM_EXPERIMENTS)
  get_filename_component(folder ${folder} ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
  if(NOT EXISTS ${folder}/presets.cpp)
    message(FATAL_ERROR "FATHOM_EXPERIMENTS: ${folder} has no presets.cpp (docs/new-experiment.md)")
  endif()
  list(APPEND experiment_sources ${folder}/presets.cpp)
endforeach()
list(SORT experiment_sources)

set(experiment_names "")
set(experiment_folders "")
set(experiment_data_sources "")
set(experiment_declarations "")
set(experiment_calls "")
set(model_declarations "")
set(model_calls "")
set(experiment_engine_sources "")
foreach(source IN LISTS experiment_sources)
  get_filename_component(folder ${source} DIRECTORY)
  get_filename_component(name ${folder} NAME)
  string(MAKE_C_IDENTIFIER ${name} name)
  if(name IN_LIST experiment_names)
    message(FATAL_ERROR "two experiments are called ${name}; the second is ${folder}")
  endif()
  list(APPEND experiment_names ${name})
  list(APPEND experiment_folders ${folder})
  string(APPEND experiment_declarations "void register_${name}(Registry& registry);\n")
  string(APPEND experiment_calls "  register_${name}(registry);\n")
  file(GLOB data_parts CONFIGURE_DEPENDS
       ${folder}/architecture*.cpp ${folder}/settings.cpp ${folder}/*_settings.cpp)
  list(APPEND experiment_data_sources ${data_parts})
  file(GLOB engine_parts CONFIGURE_DEPENDS ${folder}/*.cpp)
  list(REMOVE_ITEM engine_parts ${source} ${data_parts})
  list(APPEND experiment_engine_sources ${engine_parts})
  if(EXISTS ${folder}/model.cpp)
    string(APPEND model_declarations "void register_${name}(Models& models);\n")
    string(APPEND model_calls "  register_${name}(models);\n")
  endif()
endforeach()

# The config files and training plans that the folders ship, as text in the program: they are found
# wherever it runs. `into` gets a call of `adder` for each of the files.
function(ship_texts into adder experiment)
  foreach(file IN LISTS ARGN)
    get_filename_component(stem ${file} NAME_WE)
    get_filename_component(ending ${file} LAST_EXT)
    file(READ ${file} text)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    string(APPEND ${into}
      "  registry.${adder}({\"${experiment}\", \"${stem}\", R\"shipped(${text})shipped\",\n    \"${ending}\"});\n")
  endforeach()
  set(${into} "${${into}}" PARENT_SCOPE)
endfunction()

set(experiment_configs "")
set(experiment_plans "")
foreach(source IN LISTS experiment_sources)
  get_filename_component(folder ${source} DIRECTORY)
  get_filename_component(name ${folder} NAME)
  file(GLOB configs CONFIGURE_DEPENDS ${folder}/config/*.toml ${folder}/config/*.py)
  file(GLOB plans CONFIGURE_DEPENDS ${folder}/plans/*.json ${folder}/plans/*.toml)
  ship_texts(experiment_configs add_config ${name} ${configs})
  ship_texts(experiment_plans add_plan ${name} ${plans})
endforeach()

configure_file(${PROJECT_SOURCE_DIR}/cmake/experiments.cpp.in
               ${PROJECT_BINARY_DIR}/generated/experiments.cpp @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/cmake/models.cpp.in
               ${PROJECT_BINARY_DIR}/generated/models.cpp @ONLY)
list(APPEND experiment_engine_sources ${PROJECT_BINARY_DIR}/generated/models.cpp)
list(APPEND experiment_sources ${experiment_data_sources} ${PROJECT_BINARY_DIR}/generated/experiments.cpp)

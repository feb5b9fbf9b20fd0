import { FlatList, StyleSheet, Text, View } from 'react-native';

import TaskRow from '../components/TaskRow';
import { colors, space } from '../theme';

export default function ChecklistScreen({ tasks, onToggle }) {
  return (
    <View style={styles.screen}>
      <Text style={styles.title}>Before the release</Text>
      <FlatList
        data={tasks}
        keyExtractor={(task) => task.id}
        renderItem={({ item }) => <TaskRow task={item} onToggle={onToggle} />}
      />
    </View>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1, padding: space.medium },
  title: { fontSize: 24, fontWeight: '700', color: colors.text, marginBottom: space.medium },
});

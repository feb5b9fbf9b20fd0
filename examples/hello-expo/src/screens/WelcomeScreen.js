import { Image, Pressable, StyleSheet, Text, View } from 'react-native';

import logo from '../../assets/logo.png';
import { greeting } from '../greeting';
import { colors, space } from '../theme';

export default function WelcomeScreen({ progress, onContinue }) {
  return (
    <View style={styles.screen}>
      <Image source={logo} style={styles.logo} accessibilityLabel="Hello Expo" />
      <Text style={styles.title}>{greeting(new Date().getHours())}</Text>
      <Text style={styles.text}>
        {progress.done} of {progress.total} steps to the next release are done.
      </Text>
      <Pressable style={styles.button} accessibilityRole="button" onPress={onContinue}>
        <Text style={styles.label}>Open the checklist</Text>
      </Pressable>
    </View>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1, alignItems: 'center', justifyContent: 'center', padding: space.large },
  logo: { width: 128, height: 128, marginBottom: space.large },
  title: { fontSize: 28, fontWeight: '700', color: colors.text },
  text: { marginVertical: space.medium, fontSize: 16, color: colors.muted, textAlign: 'center' },
  button: { paddingVertical: space.medium, paddingHorizontal: space.large, borderRadius: 10, backgroundColor: colors.accent },
  label: { fontSize: 16, fontWeight: '600', color: colors.card },
});
